"""Recurrent layers that a target writes out step by step are named, with their steps in time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sdk.lowering.discovery import find_target
from sdk.models.load import load_model
from sdk.pipeline.unrolling import unrolled_notes


class Last(nn.Module):
    """What a recurrent layer puts out."""

    def __init__(self, recurrent: nn.Module) -> None:
        super().__init__()
        self.cell = recurrent

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x)[0]


@pytest.mark.parametrize(
    ("module", "shape", "said"),
    [
        (nn.GRU(4, 4, batch_first=True), (2, 7, 4), {"executorch": "", "coreml": "cell (gru, 7 steps)"}),
        (nn.LSTM(4, 4, bidirectional=True), (7, 2, 4), {"executorch": "", "tflite": ""}),
        (nn.LSTM(4, 4), (7, 4), {"coreml": ""}),
        (nn.GRUCell(4, 4), (1, 4), {"executorch": "", "coreml": ""}),
    ],
)
def test_steps_that_are_written_out_are_said(module: nn.Module, shape: tuple[int, ...], said: dict[str, str]) -> None:
    model = load_model(Last(module).eval(), (torch.randn(shape),))
    for target, words in said.items():
        notes = unrolled_notes(model, find_target(target))
        assert len(notes) == bool(words) and all(words in note for note in notes)
