"""Forms that models in the wild have and textbook ones do not: each keeps its numbers, names and layers."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from sdk.models import Model
from sdk.models.load import load_model

Pair = namedtuple("Pair", "left right")


class Function(nn.Module):
    """A module of a plain function and the layers that it uses."""

    def __init__(self, function: Any, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, *self.layers)


def _loaded(module: nn.Module, *example: torch.Tensor) -> Model:
    """Load, and check that the normalised graph computes what the module does."""
    model = load_model(module.eval(), example)
    with torch.no_grad():
        wanted = torch.utils._pytree.tree_leaves(module(*example))
        for want, got in zip([w for w in wanted if w is not None], model.module()(*example), strict=True):
            assert torch.allclose(want, got, atol=1e-5)
    return model


def _shaken(*layers: nn.Module) -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    for layer in layers:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (lambda x: x + 1, ["output"]),
        (lambda x: (x + 1, x * 2), ["output_0", "output_1"]),
        (lambda x: {"scores": x + 1, "boxes": x * 2}, ["scores", "boxes"]),
        (lambda x: {"scores": x + 1}, ["scores"]),
        (lambda x: Pair(x + 1, x * 2), ["left", "right"]),
        (lambda x: {"a-b": x + 1, "1st": x * 2, "x": x * 3}, ["a_b", "output_1st", "x_out"]),
        (lambda x: {"logits": x + 1, "hidden": (x * 2, None, x * 3)}, ["logits", "hidden_0", "hidden_2"]),
        (lambda x: ((x + 1, [x * 2]), None, x * 3), ["output_0", "output_1", "output_2"]),
    ],
)
def test_outputs_are_named_after_what_the_model_returns(returned: Any, names: list[str]) -> None:
    assert [spec.name for spec in _loaded(Function(returned), torch.randn(1, 4)).outputs] == names


def test_a_pool_without_stride_gets_its_kernel() -> None:
    model = _loaded(Function(lambda x: functional.max_pool2d(x, 2)), torch.randn(1, 3, 8, 8))
    (pool,) = [node for node in model.program.graph.nodes if "max_pool2d" in str(node.target)]
    assert pool.args[1:3] == ([2, 2], [2, 2])


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (_shaken(nn.BatchNorm1d(6), nn.Linear(6, 4), nn.ReLU(), nn.BatchNorm1d(4)), (3, 6)),
        (_shaken(nn.BatchNorm2d(6, affine=False), nn.ReLU(), nn.BatchNorm2d(6)), (1, 6, 5, 5)),
        (_shaken(nn.ConvTranspose2d(6, 4, 3, groups=2), nn.BatchNorm2d(4)), (1, 6, 5, 5)),
        (_shaken(nn.BatchNorm1d(6), nn.Conv1d(6, 4, 3)), (2, 6, 9)),
    ],
)
def test_no_batch_norm_is_left(module: nn.Module, shape: tuple[int, ...]) -> None:
    model = _loaded(module, torch.randn(shape))
    assert not [node for node in model.program.graph.nodes if "batch_norm" in str(node.target)]


def test_inputs_may_have_other_strides_than_the_example() -> None:
    model = load_model(Function(lambda x: x.view(2, -1)), (torch.randn(2, 3, 4),))
    turned = torch.randn(4, 3, 2).permute(2, 1, 0)
    assert torch.equal(model.module()(turned)[0], turned.reshape(2, -1))


def test_attention_whose_strides_differ_from_the_trace() -> None:
    """The kernel that runs is chosen by what needs gradients; its strides are not those of the trace."""

    def attend(x: torch.Tensor, table: nn.Embedding) -> torch.Tensor:
        heads = x.view(1, 8, 4, 16).transpose(1, 2)
        bias = table(torch.arange(8)[:, None] + torch.arange(8)[None]).permute(2, 0, 1)[None]
        found = functional.scaled_dot_product_attention(heads, heads, heads, attn_mask=bias)
        return found.transpose(1, 2).contiguous().view(1, 8, 64)

    model = _loaded(Function(attend, nn.Embedding(15, 4)), torch.randn(1, 8, 64))
    model.module()(torch.randn(1, 8, 64, requires_grad=True))


def test_the_inventory_knows_groups() -> None:
    module = nn.Sequential(
        nn.Conv2d(8, 8, 3, groups=4), nn.ConvTranspose2d(8, 8, 2, groups=2), nn.Conv2d(8, 8, 1, groups=8), nn.Conv2d(8, 4, 1)
    )
    layers = _loaded(module, torch.randn(1, 8, 9, 9)).inventory.layers
    assert [(layer.kind, layer.groups) for layer in layers] == [
        ("conv2d", 4), ("conv_transpose2d", 2), ("depthwise", 8), ("conv2d", 1),
    ]  # fmt: skip
