"""Float operators as a runtime computes them, for the reference of a language model.

Runtimes approximate square roots, exponentials and sines, and sum in another order than torch. Differences in the last digit
become whole steps of 8-bit activations, which thirty layers amplify until outputs have little in common. With the runtime's own
float operators between the integer layers nearly all outputs are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from sdk.quantize.integers import as_module

UNARY = ("rsqrt", "sigmoid", "silu", "gelu", "tanh", "exp", "cos", "sin")
"""ATen operators on one tensor that runtimes approximate in their own ways."""

Load = Callable[[Any, tuple[Any, ...]], Callable[..., Any]]
"""Makes a small torch module, for example inputs, a callable that the runtime executes."""


def with_native_kernels(
    module: Any, load: Load, mean: Callable[[int], Any], attention: Callable[[Any], Callable[..., Any]],
    fused: Callable[[Any], bool] = lambda node: False,
) -> Any:
    """Replace in a reference's GraphModule what the runtime computes otherwise than torch, and return it.

    `mean`: size of the last axis → the module of a mean over it as the artifact computes it; `attention`: an attention's node →
    what computes it from query, keys and values; `fused`: the node that is squared in front of a mean → whether the runtime does
    both at once, which sums in another order.
    """
    import torch

    aten = torch.ops.aten
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        name = str(node.target).removeprefix("aten.").partition(".")[0]
        if name in UNARY:
            _replace(module, node, _unary(load, node.target, tuple(node.args[1:]), tuple(sorted(node.kwargs.items()))))
        elif node.target is aten.mean.dim and list(node.args[1]) == [-1] and node.args[2:3] == (True,):
            if _is_square(node.args[0]) and fused(node.args[0].args[0]):
                _replace(module, node, _mean_square(load), node.args[0].args[:1])
            else:
                _replace(module, node, _reduced(load, mean, node.args[0].meta["val"].shape[-1]))
        elif node.target is aten.scaled_dot_product_attention.default:
            _replace(module, node, attention(node), node.args[:3])
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _is_square(node: Any) -> bool:
    import torch

    return node.target is torch.ops.aten.pow.Tensor_Scalar and node.args[1] == 2


def _replace(module: Any, node: Any, kernel: Any, inputs: tuple[Any, ...] | None = None) -> None:
    name = f"native_{node.name}"
    module.add_submodule(name, as_module(kernel))
    with module.graph.inserting_before(node):
        made = module.graph.call_module(name, node.args[:1] if inputs is None else inputs)
    made.meta.update(node.meta)
    node.replace_all_uses_with(made)
    module.graph.erase_node(node)


@cache
def _unary(load: Load, operator: Any, rest: tuple[Any, ...], named: tuple[tuple[str, Any], ...]) -> NativeKernel:
    """The kernel of one operator: layers share it, and so do references."""
    import torch

    class Called(torch.nn.Module):  # type: ignore[misc]
        def forward(self, value: Any) -> Any:
            return operator(value, *rest, **dict(named))

    return NativeKernel(Called(), load)


@cache
def _reduced(load: Load, mean: Callable[[int], Any], size: int) -> NativeKernel:
    return NativeKernel(mean(size), load)


@cache
def _mean_square(load: Load) -> NativeKernel:
    import torch

    class MeanSquare(torch.nn.Module):  # type: ignore[misc]
        def forward(self, value: Any) -> Any:
            return value.pow(2).mean(-1, keepdim=True)

    return NativeKernel(MeanSquare(), load)


class NativeKernel:
    """A small module, made ready once for the shapes of each call and executed by the runtime."""

    def __init__(self, module: Any, load: Load) -> None:
        self._module, self._load = module, load
        self._runs: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def __call__(self, *values: Any) -> Any:
        """Return what the runtime makes of `values` (float32)."""
        plain = tuple(value.contiguous() for value in values)  # a program is made for the order of its example's axes
        shapes = tuple(value.shape for value in plain)
        if shapes not in self._runs:
            self._runs[shapes] = self._load(self._module, plain)
        return self._runs[shapes](*plain)
