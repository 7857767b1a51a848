"""MediaTek's NPU: needs MediaTek's NeuroPilot Express SDK; its backend lists the Dimensity 9300 and 9400 alone."""

from targets.executorch.backends.backend import Closed

BACKEND = Closed(
    "mediatek", "ExecuTorch's MediaTek backend", ("npu",), "the MediaTek NeuroPilot Express SDK",
    "github.com/pytorch/executorch docs/source/backends-mediatek.md",
)  # fmt: skip
