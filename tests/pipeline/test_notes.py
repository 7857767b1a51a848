"""What a bundle's notes say of the model that came in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sdk.pipeline import Request, Workbench
from sdk.progress import SilentReporter

LEFT_OUT = {
    1: "the checkpoint holds a weight that the model does not know, extra0.weight: left out",
    3: "the checkpoint holds 3 weights that the model does not know, such as extra0.weight: left out",
}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_weights_that_a_checkpoint_holds_beside_the_model_are_said(count: int, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    safetensors = pytest.importorskip("safetensors.torch")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    weights = safetensors.load_file(tmp_path / "model.safetensors")
    weights |= {f"extra{each}.weight": torch.zeros(2) for each in range(count)}
    safetensors.save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    notes = Workbench(Request(model=str(tmp_path), device="host"), SilentReporter()).notes
    assert [note for note in notes if "checkpoint" in note] == ([LEFT_OUT[count]] if count else [])
