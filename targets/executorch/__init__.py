"""ExecuTorch: `.pte` files for XNNPACK on the CPU."""

from targets.executorch.target import ExecutorchTarget

TARGET = ExecutorchTarget()
"""The target that discovery finds."""
