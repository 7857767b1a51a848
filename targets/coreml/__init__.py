"""The `coreml` target: ML programs for iOS 16 to 18 as .mlpackage."""

from targets.coreml.target import TARGET

__all__ = ["TARGET"]
