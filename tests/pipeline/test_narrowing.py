"""Presets and plans decide every layer before anything is priced; what turns out to have no price makes room for the next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sdk
from targets.null import TARGET


def test_a_preset_takes_the_next_scheme_where_the_first_has_no_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    price = type(TARGET).price

    def dearer(self: Any, model: Any, choices: Any, min_os: float | None) -> Any:
        found = price(self, model, choices, min_os)
        first = {scheme: size for scheme, size in found.layers["0"].items() if not scheme.startswith("int4_g")}
        return replace(found, layers={**found.layers, "0": first})

    monkeypatch.setattr(type(TARGET), "price", dearer)
    module = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 8))
    samples = [(torch.randn(1, 128),)] * 4
    made = sdk.package(module, device="host", target="null", uniform="q4", calibration=samples, out=tmp_path / "q4")
    schemes = {layer.name: layer.realised for layer in made.manifest.layers}
    assert schemes["0"].startswith("int4_channel")
    assert schemes["2"].startswith("int4_g")
