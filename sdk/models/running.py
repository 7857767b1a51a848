"""Runs the float model; of a big one no more weights stay in memory than a part at a time."""

from __future__ import annotations

from typing import Any

from sdk.models.model import Model

HELD = 1 << 30
"""Bytes of a spilled model's weights that are read between two times that they are given back."""


def run_float(model: Model, module: Any, *inputs: Any) -> tuple[Any, ...]:
    """Return what `module` (`model.module()`) makes of one sample (`inputs`), without gradients."""
    import torch

    class Releasing(torch.fx.Interpreter):  # type: ignore[misc]
        read = 0

        def run_node(self, node: Any) -> Any:
            value = super().run_node(node)
            if node.op == "call_function":
                given = [self.env[each] for each in node.all_input_nodes if each.op == "get_attr" and each in self.env]
                self.read += sum(each.numel() * each.element_size() for each in given if isinstance(each, torch.Tensor))
            if self.read >= HELD:
                model.release()
                self.read = 0
            return value

    with torch.no_grad():
        return tuple(module(*inputs) if model.spill is None else Releasing(module).run(*inputs))
