"""Float operators as the runtime computes them: the reference of a language model uses them between its integer layers.

XNNPACK approximates square roots, exponentials and sines, and sums a norm's squares in another order than torch. Differences in
the last digit become whole steps of 8-bit activations, which thirty layers amplify until outputs have little in common.
With the same float operators nearly all outputs are the same to the bit (docs/language-models.md says what was measured).
"""

from __future__ import annotations

from typing import Any

from sdk.models.language import Language
from sdk.quantize.integers import as_module

UNARY = ("rsqrt", "sigmoid", "silu", "gelu", "tanh", "exp", "cos", "sin")
"""ATen operators on one tensor that the backend approximates in its own way."""


def with_native_kernels(module: Any, language: Language) -> Any:
    """Replace in a reference's GraphModule what the runtime computes otherwise than torch, and return it."""
    import torch

    aten, graph = torch.ops.aten, module.graph
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        name = str(node.target).removeprefix("aten.").partition(".")[0]
        if name in UNARY:
            _replace(module, node, _Kernel(_called(node.target, node.args[1:], dict(node.kwargs))))
        elif node.target is aten.mean.dim and list(node.args[1]) == [-1] and node.args[2:3] == (True,):
            _replace(module, node, _Kernel(_mean(node.args[0].meta["val"].shape[-1])))
        elif node.target is aten.scaled_dot_product_attention.default:
            _replace(module, node, _attention(language.context, node.kwargs.get("scale")), 3)
    module.recompile()
    return module


def _replace(module: Any, node: Any, kernel: Any, inputs: int = 1) -> None:
    name = f"native_{node.name}"
    module.add_submodule(name, as_module(kernel))
    with module.graph.inserting_before(node):
        made = module.graph.call_module(name, node.args[:inputs])
    made.meta.update(node.meta)
    node.replace_all_uses_with(made)
    module.graph.erase_node(node)


def _called(operator: Any, rest: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """A module of one operator."""
    import torch

    class Called(torch.nn.Module):  # type: ignore[misc]
        def forward(self, value: Any) -> Any:
            return operator(value, *rest, **named)

    return Called()


def _mean(size: int) -> Any:
    """The mean over the last axis as a program has it: a product with a constant row (see `decoding`)."""
    import torch

    class Mean(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("row", torch.full((1, size), 1.0 / size))

        def forward(self, value: Any) -> Any:
            return torch.nn.functional.linear(value, self.row)

    return Mean()


class _Kernel:
    """A small module, lowered and executed for the shape it is called with."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._run: Any = None
        self._shape: Any = None

    def __call__(self, value: Any) -> Any:
        """Return what the runtime makes of `value` (float32)."""
        if self._shape != value.shape:
            self._shape, self._run = value.shape, _lowered(self._module, value)
        return self._run(value.contiguous())


def _lowered(module: Any, example: Any) -> Any:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
    from executorch.runtime import Runtime

    program = torch.export.export(module.eval(), (example,))
    config = EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True)
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()], compile_config=config)
    data = bytes(edge.to_executorch().buffer)
    loaded = Runtime.get().load_program(data)
    method = loaded.load_method("forward")

    def run(value: Any, kept: Any = (data, loaded)) -> Any:
        return method.execute([value])[0].clone()  # the runtime writes its next result into the same memory

    return run


def _attention(context: int, scale: float | None) -> Any:
    """Causal attention over a cache of `context` tokens that holds these alone."""
    from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401  (registers torch.ops.llama)

    def cached(value: Any) -> Any:
        import torch

        turned = value.transpose(1, 2)
        return torch.cat([turned, turned.new_zeros(1, context - turned.shape[1], *turned.shape[2:])], 1)

    def attend(query: Any, key: Any, value: Any) -> Any:
        import torch

        turned = query.transpose(1, 2).contiguous()
        made = torch.ops.llama.custom_sdpa(turned, cached(key), cached(value), 0, None, 0.0, True, scale)
        return made.transpose(1, 2)

    return attend
