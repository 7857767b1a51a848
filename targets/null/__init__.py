"""A target without a toolchain: real bytes that are priced exactly, read back and executed in plain torch."""

from targets.null.target import NullTarget

TARGET = NullTarget()

__all__ = ["TARGET"]
