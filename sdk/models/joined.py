"""Takes the joined projections of a language model apart (Phi 3's `qkv_proj` and `gate_up_proj`): the same function.

XNNPACK keeps the extents of slices of a traced tensor, so that a file whose parts are cut out of one product computes whole
windows alone; and apart each has a scheme of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sdk.models.whole_heads import turn_whole_heads

PARTS = {"qkv_proj": ("q", "k", "v"), "gate_up_proj": ("gate", "up")}
"""Joined linear → its parts, which are its children: `qkv_proj.q`."""


def take_apart(model: Any) -> None:
    """Split the joined linears of a causal model of transformers in place; others stay as they are.

    The parts are views of the joined weights: nothing is copied, but where positions turn a part of each head.
    """
    if model.config.model_type != "phi3":
        return
    attends, gates = _attention(), _feed_forward()
    for layer in model.model.layers:
        attention, block = layer.self_attn, layer.mlp
        size, keys = attention.head_dim, attention.num_key_value_heads
        rows = (model.config.num_attention_heads * size, keys * size, keys * size)
        attention.qkv_proj = _split(attention.qkv_proj, "qkv_proj", rows)
        attention.__class__ = attends
        half = block.gate_up_proj.out_features // 2
        block.gate_up_proj = _split(block.gate_up_proj, "gate_up_proj", (half, half))
        block.__class__ = gates
    heads = [layer.self_attn for layer in model.model.layers]
    turn_whole_heads(model.model.rotary_emb, heads[0].head_dim, [(each.qkv_proj.q, each.qkv_proj.k) for each in heads])


def apart(names: Iterable[str]) -> tuple[str, ...]:
    """Names of weights as they are once models are taken apart."""
    made: list[str] = []
    for name in names:
        found = re.fullmatch(rf"(.*\b({'|'.join(PARTS)}))\.(\w+)", name)
        made += [f"{found[1]}.{part}.{found[3]}" for part in PARTS[found[2]]] if found else [name]
    return tuple(made)


def _split(joined: Any, name: str, rows: tuple[int, ...]) -> Any:
    """A module with a linear for each run of `rows` of `joined`."""
    import torch

    parts = torch.nn.Module()
    for part, weight in zip(PARTS[name], joined.weight.detach().split(rows), strict=True):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        linear.weight = torch.nn.Parameter(weight, requires_grad=joined.weight.requires_grad)
        parts.add_module(part, linear)
    return parts


def _attention() -> Any:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
    from transformers.models.phi3.modeling_phi3 import Phi3Attention

    class Apart(Phi3Attention):  # type: ignore[misc]
        def forward(self, hidden_states: Any, position_embeddings: Any, attention_mask: Any, **_: Any) -> tuple[Any, None]:
            shape = (*hidden_states.shape[:-1], -1, self.head_dim)
            query, key, value = (part(hidden_states).view(shape).transpose(1, 2) for part in self.qkv_proj.children())
            query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
            attend = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
            found, _weights = attend(self, query, key, value, attention_mask, scaling=self.scaling)
            return self.o_proj(found.reshape(*shape[:-2], -1)), None

    return Apart


def _feed_forward() -> Any:
    from transformers.models.phi3.modeling_phi3 import Phi3MLP

    class Apart(Phi3MLP):  # type: ignore[misc]
        def forward(self, hidden_states: Any) -> Any:
            joined = self.gate_up_proj
            return self.down_proj(joined.up(hidden_states) * self.activation_fn(joined.gate(hidden_states)))

    return Apart
