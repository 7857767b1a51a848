"""A weight that a file stores once is trained as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from sdk.models.load import load_model
from sdk.models.samples import take_samples
from sdk.quantize import quantize
from sdk.recovery import recover
from sdk.recovery.file import read_recovery, recovery_bytes
from sdk.recovery.tied import tied
from sdk.schemes import scheme_named


class _Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows, self.middle, self.head = nn.Embedding(160, 32), nn.Linear(32, 32), nn.Linear(32, 160, bias=False)
        self.head.weight = self.rows.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.middle(self.rows(ids))))


def _quantized(head: str):
    torch.manual_seed(2)
    model = load_model(_Words(), (torch.zeros(1, 6, dtype=torch.int64),))
    schemes = {layer.name: scheme_named("int2_channel") for layer in model.inventory.layers}
    schemes["head"] = scheme_named(head)
    found = quantize(model, schemes)
    once = {**found.grids, "rows": found.grids["head"]} if head == schemes["rows"].name else found.grids
    return replace(found, grids=once), take_samples(model, [torch.randint(0, 160, (1, 6)) for _ in range(160)])


def test_an_embedding_and_its_head_stay_equal() -> None:
    quantized, samples = _quantized("int2_channel")
    assert tied(quantized) == {"head.weight": "rows.weight"}
    found = recover(quantized, samples, "kl", 60)
    rows, head = found.grids["rows"][0], found.grids["head"][0]
    assert torch.equal(rows.codes, head.codes) and torch.equal(rows.scale, head.scale)
    assert bool((rows.codes != quantized.grids["rows"][0].codes).any())
    assert found.after < found.before


def test_its_file_is_read_back(tmp_path: Path) -> None:
    quantized, samples = _quantized("int2_channel")
    found = recover(quantized, samples, "kl", 4)
    (tmp_path / "found").write_bytes(recovery_bytes(found, quantized, "kl", "data", 160, 4))
    again = read_recovery(tmp_path / "found", quantized)
    assert set(again.grids) == set(found.grids)
    for layer, (grid,) in again.grids.items():
        want = found.grids[layer][0]
        assert torch.equal(grid.codes, want.codes) and torch.equal(grid.scale, want.scale)


def test_on_two_grids_they_are_two_weights() -> None:
    quantized, _ = _quantized("int4_channel")
    assert tied(quantized) == {}
