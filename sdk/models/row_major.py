"""Brings a model that was traced in `channels_last` to the one order of elements that later stages know."""

from __future__ import annotations

from typing import Any


def row_major(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Make weights, constants and what the graph asks for contiguous; return `inputs` so. Values stay what they are."""
    import torch

    changed = _weights(module) | any(each is not in_rows(each) for each in inputs)
    last = (torch.channels_last, torch.channels_last_3d)
    for node in module.graph.nodes:
        if any(value in last for value in (*node.args, *node.kwargs.values()) if isinstance(value, torch.memory_format)):
            changed = True
            node.args = tuple(_contiguous(value) for value in node.args)
            node.kwargs = {key: _contiguous(value) for key, value in node.kwargs.items()}
    if changed:
        reshape_views(module)
    return tuple(in_rows(each) for each in inputs)


def in_rows(value: Any) -> Any:
    """Return `value` with the strides of its shape: `contiguous` leaves others where an extent is one, ExecuTorch minds them."""
    import torch

    strides, step = list[int](), 1
    for extent in reversed(value.shape):
        strides.insert(0, step)
        step *= max(1, extent)
    return value if value.stride() == tuple(strides) else value.clone(memory_format=torch.contiguous_format)


def reshape_views(module: Any) -> None:
    """Make each `view`, which holds for the strides of the trace alone, a `reshape`."""
    import torch

    for node in module.graph.nodes:
        if node.target in (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default):
            node.target = torch.ops.aten.reshape.default


def _contiguous(value: Any) -> Any:
    import torch

    return torch.contiguous_format if isinstance(value, torch.memory_format) else value


def _weights(module: Any) -> bool:
    """Give parameters and buffers of other strides contiguous values, tied ones the same; return whether there were any."""
    import torch

    made: dict[tuple[Any, ...], Any] = {}
    for owner in module.modules():
        for group in (owner._parameters, owner._buffers):
            for key, value in group.items():
                if isinstance(value, torch.Tensor) and value.layout == torch.strided and in_rows(value) is not value:
                    place = (value.data_ptr(), tuple(value.shape), value.stride(), value.dtype)
                    plain = made.setdefault(place, in_rows(value.detach()))
                    group[key] = torch.nn.Parameter(plain, value.requires_grad) if group is owner._parameters else plain
    return bool(made)
