"""ExecuTorch's Vulkan backend: `.pte` files for the GPU of Android phones, in float16 with 8- and 4-bit linears."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from sdk.schemes import Scheme
from targets.executorch.backends.backend import Part

OVERHEAD = {("channel", "float"): 495, ("group", "float"): 295, ("group", "dynamic"): 1010}
"""Granularity and activations of a scheme → bytes that a linear adds besides its codes and scales; a bias is among them."""


class Vulkan:
    """The backend behind the `Backend` protocol. Its float is float16 (the backend's option `force_fp16`)."""

    name = "vulkan"
    title = "ExecuTorch's Vulkan backend"
    delegate = "VulkanBackend"
    kinds = ("gpu",)
    packages = ("executorch", "torchao", "torch")
    install = "pip install 'snugfit[executorch]'"
    table = "vulkan.yaml"
    why_outside = "the Vulkan backend's partitioner does not take it with these arguments"
    evaluated_by = "the delegate's own graph and the instructions around it, evaluated in float16"

    def partitioner(self, kind: str, min_os: float | None) -> Any:
        """Return the partitioner that computes in float16."""
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        return VulkanPartitioner({"force_fp16": True})

    def overhead(self, scheme: Scheme, min_os: float | None) -> int:
        """Return the bytes of values and named blobs; a dynamic layer has sums of its codes and two further operators."""
        return OVERHEAD[scheme.granularity, scheme.activations]

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Trace the backend's fusing patterns once in this process, not twice for every delegate; afterwards all is as before."""
        from executorch.backends.vulkan.patterns import fusable_patterns

        before = {name: entry.get_graphs_fn for name, entry in fusable_patterns.items()}
        for name, entry in fusable_patterns.items():
            entry.get_graphs_fn = _traced_once(name) if entry.get_graphs_fn is not None else None
        try:
            yield
        finally:
            for name, entry in fusable_patterns.items():
                entry.get_graphs_fn = before[name]

    def read(self, payload: memoryview, blobs: Mapping[str, memoryview]) -> Part:
        """Read a payload's graph; CheckFailed when it is damaged."""
        from targets.executorch.vulkan_graph import read_graph
        from targets.executorch.vulkan_part import part_of

        return part_of(read_graph(payload, blobs))


def _traced_once(name: str) -> Any:
    graphs = _GRAPHS.setdefault(name, cache(_original(name)))
    return graphs


_GRAPHS: dict[str, Any] = {}
"""Pattern → its graphs, traced when first asked for."""


def _original(name: str) -> Any:
    from executorch.backends.vulkan.patterns import fusable_patterns

    return fusable_patterns[name].get_graphs_fn


BACKEND = Vulkan()
