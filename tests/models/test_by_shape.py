"""Recurrent layers are traced by shape: the same program as torch makes of all their steps, and none of these is gone through."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch._decomp import decompositions

from sdk.models import load
from sdk.models.load import load_model

LAYERS = {
    "lstm": (lambda: nn.LSTM(5, 8, 2, batch_first=True, bidirectional=True), (2, 7, 5)), "gru": (lambda: nn.GRU(5, 8), (7, 2, 5)),
    "projected": (lambda: nn.LSTM(5, 8, proj_size=3), (7, 2, 5)), "unbatched": (lambda: nn.LSTM(5, 8), (7, 5)),
    "plain": (lambda: nn.RNN(5, 8, 2, bias=False), (7, 1, 5)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_the_program_is_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    net, sample = nn.Sequential(make()).eval(), (torch.randn(shape),)
    with monkeypatch.context() as patch:
        patch.setattr(load, "recurrent_by_shape", nullcontext)
        stepped = load_model(net, sample)
    with monkeypatch.context() as patch:
        for layer in ("one_layer_lstm", "one_layer_rnn"):
            patch.setattr(decompositions, layer, _refuse)
        shaped = load_model(net, sample)
    assert shaped.digest == stepped.digest
    assert _shapes(shaped) == _shapes(stepped)


def _refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("a step was traced")


def _shapes(model: Any) -> list[Any]:
    values = [node.meta.get("val") for node in model.program.graph.nodes]
    each = [value if isinstance(value, tuple | list) else [value] for value in values]
    return [[(tuple(v.shape), v.stride()) for v in group if isinstance(v, torch.Tensor)] for group in each]
