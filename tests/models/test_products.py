"""Products with weights, however they are written, are layers that compute the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sdk.models.load import load_model

Product = Callable[..., torch.Tensor]
X = torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(0))


class Products(nn.Module):
    """What `product` makes of the input and of parameters w.0, w.1, … with these shapes."""

    def __init__(self, product: Product, *shapes: tuple[int, ...]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.product, self.w = product, nn.ParameterList(nn.Parameter(torch.randn(shape) * 0.1) for shape in shapes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.product(x, *self.w)


def made(product: Product, *shapes: tuple[int, ...]) -> Any:
    module = Products(product, *shapes).eval()
    model = load_model(module, example=(X,))
    (found,) = model.module()(X)
    torch.testing.assert_close(found, module(X), rtol=1e-4, atol=1e-5)
    return model


def einsum(equation: str) -> Product:
    return lambda *tensors: torch.einsum(equation, *tensors)


ONE: dict[str, tuple[Product, tuple[int, ...], tuple[int, ...]]] = {
    "einsum": (einsum("btd,de->bte"), (32, 48), (48, 32)),
    "a result in another order": (einsum("btd,ed->bet"), (48, 32), (48, 32)),
    "no arrow": (einsum("bij,jk"), (32, 48), (48, 32)),
    "dots": (einsum("...d,de->...e"), (32, 48), (48, 32)),
    "dots between": (einsum("b...d,de"), (32, 48), (48, 32)),
    "one axis": (lambda x, w: torch.einsum("d,df->f", x[0, 0], w), (32, 48), (48, 32)),
    "all experts": (einsum("btd,edf->btef"), (4, 32, 48), (192, 32)),
    "heads": (einsum("btd,hdk->bhtk"), (4, 32, 8), (32, 32)),
    "of heads": (lambda x, w: torch.einsum("bhtk,hkd->btd", x.view(2, 6, 4, 8).transpose(1, 2), w), (4, 8, 32), (32, 32)),
    "no channels out": (lambda x, w: torch.einsum("btd,td->b", x.repeat(1, 1, 2), w), (6, 64), (1, 384)),
    "biaffine": (lambda x, w: torch.einsum("bxi,oij,byj->boxy", x, w, x + 1), (5, 32, 32), (160, 32)),
    "one input twice": (lambda x, w: torch.einsum("btd,de,btd->bte", x, w, x), (32, 48), (48, 32)),
    "gated experts": (lambda x, w: torch.einsum("btef,efd,bte->btd", x.view(2, 6, 4, 8), w, x[..., :4]), (4, 8, 48), (48, 32)),
    "tensordot": (lambda x, w: torch.tensordot(x, w, ([2], [0])), (32, 4, 8), (32, 32)),
    "the weight on the left": (lambda x, w: w @ x.transpose(1, 2), (48, 32), (48, 32)),
    "a weight that is read twice": (lambda x, w: x @ w + (2 * x) @ w, (32, 48), (48, 32)),
    "a weight that is computed": (lambda x, w: x @ nn.functional.normalize(w).t(), (20, 32), (20, 32)),
    "matrices that the input has not": (lambda x, w: x.unsqueeze(1) @ w, (4, 32, 16), (64, 32)),
    "matrices of no number": (lambda x, w: x.unsqueeze(1) @ w, (1, 1, 32, 16), (16, 32)),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE)
def test_one_layer(case: str) -> None:
    product, shape, weight = ONE[case]
    model = made(product, shape)
    assert [(layer.kind, layer.shape) for layer in model.inventory.layers] == [("linear", weight)]
    assert not model.inventory.uncovered


def test_a_layer_has_the_name_of_its_weight() -> None:
    assert [layer.name for layer in made(einsum("btd,edf->btef"), (4, 32, 48)).inventory.layers] == ["w.0"]


@pytest.mark.parametrize(
    ("product", "shape", "count"),
    [
        (torch.bmm, (2, 32, 48), 2),
        (lambda x, w: torch.einsum("bed,edf->bef", x[:, :4], w), (4, 32, 48), 4),
        (lambda x, w: torch.einsum("ed,edf->ef", x[0, :4], w), (4, 32, 48), 4),
        (lambda x, w: torch.einsum("btghd,ghdf->btghf", x.view(2, 6, 2, 2, 8), w), (2, 2, 8, 32), 4),
        (lambda x, w: torch.matmul(x.view(2, 6, 4, 1, 8), w), (4, 8, 16), 4),
    ],
)  # fmt: skip
def test_a_layer_for_each_part(product: Product, shape: tuple[int, ...], count: int) -> None:
    model = made(product, shape)
    assert [layer.kind for layer in model.inventory.layers] == ["linear"] * count
    assert not model.inventory.uncovered


@pytest.mark.parametrize(
    ("product", "shapes"),
    [
        (einsum("btd,de->bte"), [(32, 2)]),  # small
        (lambda x, w: torch.einsum("btd,tdf->btf", x.repeat(1, 3, 1), w), [(18, 32, 8)]),  # many parts
        (lambda x, w: torch.einsum("btd,bsd->bts", x, x) + w, [(6, 6)]),  # two inputs
        (lambda x, w, v: (w @ v @ x.transpose(1, 2)).softmax(-1) @ x, [(12, 32), (32, 32)]),  # queries of no input
    ],
)
def test_other_products_stay(product: Product, shapes: list[tuple[int, ...]]) -> None:
    assert not made(product, *shapes).inventory.layers
