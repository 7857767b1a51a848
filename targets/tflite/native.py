"""Float operators as LiteRT computes them: the reference of a language model uses them between its integer layers."""

from __future__ import annotations

from functools import cache
from typing import Any

from sdk.quantize import NativeKernel, with_native_kernels
from targets.tflite.silence import silence


def with_own_kernels(module: Any, length: int) -> Any:
    """Replace in a reference's GraphModule what the runtime computes otherwise than torch, and return it.

    `length`: tokens that the cache has room for.
    """
    return with_native_kernels(
        module, _loaded, _mean, lambda node: _attention(length, node.kwargs.get("scale")), _squared_within_mean
    )


def _squared_within_mean(node: Any) -> bool:
    """Whether XNNPACK makes one operator of a square and the mean behind it: where both factors are the same tensor of the file.

    They are but for what a lookup gives, scaled or not, of which one is reshaped.
    """
    import torch

    aten = torch.ops.aten
    while node.target is aten.mul.Tensor:
        node = node.args[0]
    return node.target is not aten.embedding.default


def _mean(size: int) -> Any:
    import torch

    class Mean(torch.nn.Module):  # type: ignore[misc]
        def forward(self, value: Any) -> Any:
            return value.mean(-1, keepdim=True)

    return Mean()


def _loaded(module: Any, example: tuple[Any, ...]) -> Any:
    import litert_torch
    import torch
    from ai_edge_litert.interpreter import Interpreter

    with silence():
        data = bytes(litert_torch.convert(module.eval(), example)._exporter.to_bytes())
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()

    def run(*values: Any) -> Any:
        made = runner(**{f"args_{index}": value.numpy() for index, value in enumerate(values)})
        return torch.from_numpy(next(iter(made.values())))

    return run


@cache
def _attention(length: int, scale: float | None) -> Any:
    """Causal attention over a cache that holds these tokens alone, as the steps of the file compute it (see `decoding`)."""
    import torch

    from targets.tflite.decoding import HIDDEN, attend

    class Attention(torch.nn.Module):  # type: ignore[misc]
        def forward(self, query: Any, keys: Any, values: Any, mask: Any) -> Any:
            return attend(query, keys, values, mask, scale)

    kernel = NativeKernel(Attention(), _loaded)

    def attended(query: Any, key: Any, value: Any) -> Any:
        count, room = query.shape[2], length - key.shape[2]
        places = torch.arange(length)
        mask = torch.where(places[None, :] <= places[:count, None], 0.0, HIDDEN)[None, None]
        pad = torch.nn.functional.pad
        return kernel(query, pad(key, (0, 0, 0, room)), pad(value, (0, 0, 0, room)).transpose(2, 3), mask)

    return attended
