"""Qualcomm's Hexagon NPU: needs Qualcomm's AI Engine Direct SDK, which compiles for one chip at a time."""

from targets.executorch.backends.backend import Closed

BACKEND = Closed(
    "qualcomm", "ExecuTorch's Qualcomm backend", ("npu",), "the Qualcomm AI Engine Direct SDK (QNN)",
    "github.com/pytorch/executorch docs/source/backends-qualcomm.md",
)  # fmt: skip
