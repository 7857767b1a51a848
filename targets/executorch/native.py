"""Float operators as ExecuTorch computes them: the reference of a language model uses them between its integer layers.

XNNPACK approximates square roots, exponentials and sines, and sums a norm's squares in another order than torch (see
`sdk.quantize.native`; docs/language-models.md says what was measured).
"""

from __future__ import annotations

from typing import Any

from sdk.models.language import Language
from sdk.quantize import with_native_kernels


def with_own_kernels(module: Any, language: Language) -> Any:
    """Replace in a reference's GraphModule what the runtime computes otherwise than torch, and return it."""
    return with_native_kernels(
        module, _lowered, _mean, lambda node: _attention(language.context, node.kwargs.get("scale"))
    )


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


def _lowered(module: Any, example: tuple[Any, ...]) -> Any:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
    from executorch.runtime import Runtime

    program = torch.export.export(module.eval(), example)
    config = EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True)
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()], compile_config=config)
    data = bytes(edge.to_executorch().buffer)
    loaded = Runtime.get().load_program(data)
    method = loaded.load_method("forward")

    def run(*values: Any, kept: Any = (data, loaded)) -> Any:
        return method.execute(list(values))[0].clone()  # the runtime writes its next result into the same memory

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
