"""Runs a model's graph with taps: inputs and outputs of layers seen on the way forward, their gradients on the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Tap = Callable[[str, Any], None]
"""Told a layer's name and its input tensor, or its output's."""


def _unheard(name: str, value: Any) -> None:
    """A tap that does nothing."""


@dataclass(frozen=True, slots=True)
class Taps:
    """`tap` hears before each operator whose weight is in `owners` (weight → layer), `end` what each node in `ends` makes.

    The tensor handed to `tap` is the operator's own view of its input, so a gradient hook on it sees this operator alone; the
    one handed to `end` is what everybody reads.
    """

    owners: Mapping[str, str] = field(default_factory=dict)
    tap: Tap = _unheard
    ends: Mapping[str, str] = field(default_factory=dict)
    end: Tap = _unheard


NOBODY = Taps()


def run_tapped(module: Any, taps: Taps, inputs: tuple[Any, ...]) -> Any:
    """Interpret `module` on `inputs`, and let `taps` hear."""
    import torch

    class Tapped(torch.fx.Interpreter):  # type: ignore[misc]
        def run_node(self, node: Any) -> Any:
            made = self._made(node)
            if node.name in taps.ends:
                made = made.view_as(made)
                taps.end(taps.ends[node.name], made)
            return made

        def _made(self, node: Any) -> Any:
            layer = _layer_of(node, taps.owners)
            if layer is None:
                return super().run_node(node)
            args, kwargs = self.fetch_args_kwargs_from_env(node)
            position = 1 if node.target is torch.ops.aten.embedding.default else 0
            value = args[position]
            if value.is_floating_point():
                value = value.view_as(value)
                args = (*args[:position], value, *args[position + 1 :])
            taps.tap(layer, value)
            return self.call_function(node.target, args, kwargs)

    tapped = Tapped(module)
    tapped.extra_traceback = False  # a failure is told in one sentence
    return tapped.run(*inputs)


def _layer_of(node: Any, owners: Mapping[str, str]) -> str | None:
    if node.op != "call_function":
        return None
    for arg in node.args[:4]:
        items = arg if isinstance(arg, list | tuple) else (arg,)
        for item in items:
            if getattr(item, "op", None) == "get_attr" and item.target in owners:
                return owners[item.target]
    return None
