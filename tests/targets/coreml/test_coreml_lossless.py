"""Checkpoints of few bits are in the package as they were: every weight read back equal, in the bits that they have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sdk
from sdk.models import Model
from sdk.models.load import load_model
from sdk.planning import parse_plan
from sdk.quantize import quantize
from sdk.schemes import scheme_named
from targets.coreml import TARGET
from targets.coreml.contents import open_contents
from targets.coreml.unfolding import decompress
from tests.language.conftest import make_config, save_model


def levels(shape: torch.Size, group: int, low: int, high: int, seed: int) -> torch.Tensor:
    """Integers of magnitudes `low` to `high`, the largest once in each group, times bfloat16 scales of either sign."""
    generator = torch.Generator().manual_seed(seed)
    blocks = (*shape[:-1], shape[-1] // group)
    size = torch.randint(low, high + (low == high), (*blocks, group), generator=generator)
    integers = size * (torch.randint(0, 2, size.shape, generator=generator) * 2 - 1)
    integers[..., 3] = -high
    scale = (0.05 + 0.1 * torch.rand(*blocks, 1, generator=generator)).bfloat16().float() / high
    return (integers * scale * (torch.randint(0, 2, scale.shape, generator=generator) * 2 - 1)).reshape(shape)


CASES = {"lut1_g128": (128, 1, 1, 1.125), "lut2_g128": (128, 0, 1, 2.125), "lut4_g32": (32, 0, 8, 4.5)}
"""Scheme → group, least and largest magnitude, and bits that a weight takes."""


@pytest.mark.parametrize("name", CASES)
def test_every_weight_is_read_back_equal(name: str, tmp_path: Path) -> None:
    group, low, high, bits = CASES[name]
    net = nn.Sequential(nn.Embedding(512, 512), nn.Linear(512, 1024, bias=False))
    for seed, layer in enumerate(net):
        layer.weight.data = levels(layer.weight.shape, group, low, high, seed)
    model = load_model(net.eval(), (torch.arange(4).reshape(1, 4),))
    quantized = quantize(model, {"0": scheme_named(name), "1": scheme_named(name)})
    sites = TARGET.lower(quantized, tmp_path / TARGET.artifact, None, lambda _: None)
    check(model, sites, tmp_path / TARGET.artifact)
    for layer, found in TARGET.realised(tmp_path / TARGET.artifact, sites).items():
        assert found.scheme == name and 8 * found.bytes / model.inventory[layer].parameters == pytest.approx(bits, rel=0.03)


def check(model: Model, sites: Mapping[str, str], path: Path, published: torch.dtype = torch.float32) -> None:
    """Every weight in the package is that of the model, in the number format that it was published in."""
    contents, module = open_contents(path), model.module()
    for layer in model.inventory.layers:
        weight = module.get_parameter(layer.weights[0]).detach()
        (const,) = sites[layer.name].split(",")
        stored = torch.from_numpy(np.array(decompress(contents, contents.producers[const]))).float()
        assert torch.equal(stored.to(published).float(), weight), layer.name


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("llama", "lut1_g128"), ("llama", "lut2_g128"), ("gemma3_text", "lut4_g32")])
def test_a_low_bit_checkpoint_stays_what_it_was(kind: str, name: str, tmp_path: Path) -> None:
    group, low, high, _ = CASES[name]

    def put_on_levels(model: nn.Module) -> None:
        for seed, module in enumerate(model.modules()):
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.data = levels(module.weight.shape, group, low, high, seed).to(published)

    published = torch.bfloat16 if kind == "gemma3_text" else torch.float32  # as Google's checkpoints for Q4_0 are
    sizes = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 64}
    config = make_config(kind, tie_word_embeddings=False, **sizes)
    folder = save_model(tmp_path / "model", config, change=put_on_levels)
    wanted: dict[str, Any] = {"device": "iphone15pro", "target": "coreml", "context": 64}
    made = sdk.plan(str(folder), max_size="9MB", **wanted)
    plan = made.model_copy(update={"layers": tuple(line.model_copy(update={"scheme": name}) for line in made.layers)})
    bundle = sdk.package(str(folder), plan=plan, out=tmp_path / "out", **wanted)
    assert {layer.realised for layer in bundle.manifest.layers} == {name}
    assert all(line.reason.startswith("keeps its own grid exactly") for line in parse_plan(bundle.plan, "plan.yaml").layers)
    sites = {layer.name: layer.site for layer in bundle.manifest.layers}
    check(load_model(str(folder), context=64), sites, bundle.artifact, published)
