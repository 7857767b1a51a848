"""The graph with a key-value cache computes, piece by piece, what the whole window gave at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sdk.errors import CheckFailed, LoweringError
from sdk.models.load import load_model
from sdk.verify.parity import _answer_less
from targets.executorch.decoding import with_cache
from targets.executorch.once import _rules

pytest.importorskip("executorch")


def test_prefill_in_pieces_and_single_steps_equal_the_whole_window(llama: Path) -> None:
    model = load_model(str(llama), context=128)
    assert model.language is not None
    tokens = torch.randint(0, 380, (1, 127), generator=torch.Generator().manual_seed(1))
    module = with_cache(model.module(), model.language)
    with torch.no_grad():
        (want,) = model.module()(tokens)
        pieces = [(0, 40), (40, 41), (41, 42), (42, 127)]
        found = [module(tokens[:, a:b].contiguous(), torch.tensor([a])) for a, b in pieces]
    got = torch.cat([out[0] if isinstance(out, tuple | list) else out for out in found], 1)
    assert torch.allclose(want, got, atol=1e-5)
    operators = {str(node.target) for node in module.graph.nodes if node.op == "call_function"}
    assert not {name for name in operators if "mean" in name or "aten.neg" in name or "scaled_dot_product" in name}


def test_attention_that_is_not_plain_is_refused(llama: Path) -> None:
    model = load_model(str(llama), context=128)
    assert model.language is not None
    module = model.module()
    attention = torch.ops.aten.scaled_dot_product_attention.default
    node = next(n for n in module.graph.nodes if n.target is attention)
    node.args = (*node.args[:5], False)
    with pytest.raises(LoweringError, match="not plain causal attention"):
        with_cache(module, model.language)


def test_the_shapes_that_replace_torchao_operators_are_theirs() -> None:
    ops = torch.ops.torchao
    rules, value = _rules(), torch.randn(1, 7, 64)
    asked = ("ASYMMETRIC", [1, 1, 64], torch.int8, -128, 127, None, torch.float32, torch.int8)
    scale, zero = ops.choose_qparams_affine(value, *asked)
    codes = ops.quantize_affine(value, [1, 1, 64], scale, zero, torch.int8, -128, 127)
    back = ops.dequantize_affine(codes, [1, 1, 64], scale, zero, torch.int8, -128, 127)
    plain = torch.no_grad()
    chosen = rules[ops.choose_qparams_affine.default](plain, None, value, *asked)
    for real, said in (
        (scale, chosen[0]), (zero, chosen[1]), (codes, rules[ops.quantize_affine.default](plain, None, value)),
        (back, rules[ops.dequantize_affine.default](plain, None, codes)),
    ):
        assert (real.shape, real.dtype, real.stride()) == (said.shape, said.dtype, said.stride())


def test_an_artifact_for_whole_windows_alone_is_found() -> None:
    """XNNPACK keeps the extents of slices: Phi 3's file computed a whole window, and failed on every prompt."""

    class Whole:
        def step(self, tokens: Any, position: int) -> Any:
            raise CheckFailed("method->execute() failed")

    with pytest.raises(CheckFailed, match=r"a window of 127 tokens, but fails on 63 of them .* choose another target"):
        _answer_less(Whole(), torch.ones(1, 127, dtype=torch.int64))
