"""Recurrent cells become two linear layers each, and compute what they did."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sdk.models.load import load_model


class _Step(nn.Module):
    """One step of a cell, whose state is given or, without `stateful`, begins at zero."""

    def __init__(self, cell: nn.Module, stateful: bool) -> None:
        super().__init__()
        self.cell, self.stateful = cell, stateful

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if not self.stateful:
            return self.cell(x + state[0].mean())
        return self.cell(x, (state[0], state[1]) if isinstance(self.cell, nn.LSTMCell) else state[0])


@pytest.mark.parametrize("stateful", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell])
def test_a_cell_is_two_linear_layers(cell: type[nn.Module], bias: bool, stateful: bool) -> None:
    torch.manual_seed(0)
    module = _Step(cell(6, 5, bias=bias), stateful).eval()
    inputs = (torch.randn(3, 6), torch.randn(2, 3, 5))
    model = load_model(module, inputs)
    assert [(layer.name, layer.kind) for layer in model.inventory.layers] == [
        ("cell.weight_ih", "linear"), ("cell.weight_hh", "linear")
    ]  # fmt: skip
    assert not model.inventory.uncovered
    with torch.no_grad():
        wanted = module(*inputs)
        got = model.module()(*inputs)
    for a, b in zip(wanted if isinstance(wanted, tuple) else (wanted,), got, strict=True):
        torch.testing.assert_close(a, b)
