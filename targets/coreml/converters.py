"""What coremltools' torch frontend lacks or gets wrong: converters for it, registered for our conversions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from targets.coreml import attending, standins


def converts(node: Any) -> bool:
    """Say whether coremltools converts a node of an exported graph."""
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY
    from coremltools.converters.mil.frontend.torch.utils import sanitize_op_kind

    install()
    try:
        kind = node.target.name()
    except (AttributeError, TypeError):
        kind = getattr(node.target, "__name__", str(node.target))
    if sanitize_op_kind(kind) not in _TORCH_OPS_REGISTRY.name_to_func_mapping:
        return False
    return not any(str(node.target) == name and refuses(node) for name, refuses in _FORMS.items())


_FORMS: dict[str, Callable[[Any], bool]] = {
    "aten.pad.default": lambda node: len(node.args) > 2 and node.args[2] == "circular",
    "aten.rms_norm.default": lambda node: len(node.args) < 4,
    "aten.cosine_similarity.default": lambda node: len(node.args) < 4,
    "aten.affine_grid_generator.default": lambda node: True,  # its converter is of TorchScript
    "aten.grid_sampler.default": lambda node: not _resamples(node),
    "aten.grid_sampler_2d.default": lambda node: not _resamples(node),
}
"""Forms of operators that their converters refuse."""


def _resamples(node: Any) -> bool:
    """Whether MIL's `resample` does what a `grid_sample` does: of images, bilinear (0) or nearest (1)."""
    return node.args[2] in (0, 1) and node.args[0].meta["val"].ndim == 4


@cache
def install() -> None:
    """Register our converters in coremltools, once."""
    from coremltools.converters.mil.frontend.torch import ops
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY

    _TORCH_OPS_REGISTRY.set_func_by_name(_lstm, "lstm.input")
    for function in (attending.cached_attention, attending.rows, standins.stored):
        _TORCH_OPS_REGISTRY.set_func_by_name(function, f"snugfit::{function.__name__}")
    _TORCH_OPS_REGISTRY.set_func_by_name(_gelu, "gelu")
    _TORCH_OPS_REGISTRY.set_func_by_name(ops.maximum, "clamp_min")  # theirs take no floats that whole numbers bound
    _TORCH_OPS_REGISTRY.set_func_by_name(ops.minimum, "clamp_max")
    ops._cast = _cast


def _lstm(context: Any, node: Any) -> None:
    """`aten.lstm` of an exported program: the TorchScript converter, its three results as one tuple."""
    from coremltools.converters.mil.frontend.torch import ops

    names = [f"{node.name}_{part}" for part in ("y", "h", "c")]
    outputs, node.outputs = node.outputs, names
    try:
        ops.lstm(context, node)
    finally:
        node.outputs = outputs
    context.add(tuple(context[name] for name in names), node.name)


def _gelu(context: Any, node: Any) -> None:
    """`aten.gelu`: coremltools' converter takes the approximation that a graph names for the exact function."""
    from coremltools.converters.mil import Builder as mb

    named = [*node.inputs[1:2], *(node.kwinputs or {}).get("approximate", ())]
    mode = "TANH_APPROXIMATION" if "tanh" in named else "EXACT"
    context.add(mb.gelu(x=context[node.inputs[0]], mode=mode, name=node.name))


def _cast(context: Any, node: Any, dtype: Any, dtype_name: str) -> None:
    """Cast of a one-element tensor to a Python scalar type: numpy ≥ 2.4 converts only rank-0 arrays."""
    import numpy as np
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.frontend.torch.ops import _get_inputs

    x = _get_inputs(context, node, expected=1)[0]
    if x.can_be_folded_to_const():
        result = mb.const(val=dtype(np.asarray(x.val).reshape(-1)[0]), name=node.name)
    else:
        flat = mb.squeeze(x=x, name=f"{node.name}_item") if len(x.shape) > 0 else x
        result = mb.cast(x=flat, dtype=dtype_name, name=node.name)
    context.add(result, node.name)
