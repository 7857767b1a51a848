"""Samsung's NPU of Exynos chips: needs Samsung's Exynos AI LiteCore SDK."""

from targets.executorch.backends.backend import Closed

BACKEND = Closed(
    "exynos", "ExecuTorch's Samsung Exynos backend", ("npu",), "the Samsung Exynos AI LiteCore SDK",
    "github.com/pytorch/executorch docs/source/backends/samsung/samsung-overview.md",
)  # fmt: skip
