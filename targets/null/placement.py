"""Which operators the null runtime counts as accelerated: a table like a phone's, so that placement is testable everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from sdk.lowering.types import Placement

ACCELERATED = frozenset({
    "adaptive_avg_pool2d", "add", "add_", "avg_pool2d", "clamp", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d",
    "convolution", "div", "flatten", "hardtanh", "linear", "max_pool2d", "mean", "mul", "permute", "relu", "relu6", "relu_",
    "reshape", "sigmoid", "softmax", "sub", "tanh", "transpose", "unsqueeze", "view",
})  # fmt: skip
"""ATen operators, without their overloads; all others are outside, although torch executes either kind."""


def placement(graph: Mapping[str, Any]) -> Placement:
    """Count the operators of an artifact's graph; neighbours that are accelerated make one delegate."""
    names = [node["op"].split(".")[1] for node in graph["nodes"] if node["op"].startswith("aten.")]
    inside = [name in ACCELERATED for name in names]
    return Placement(
        delegates=sum(accelerated for accelerated, _ in groupby(inside)),
        delegated=Counter(name for name, accelerated in zip(names, inside, strict=True) if accelerated),
        outside=Counter(name for name, accelerated in zip(names, inside, strict=True) if not accelerated),
    )
