"""Rows that reach no output teach nothing about the weights."""

from __future__ import annotations

import torch
from torch import nn

from sdk.models.load import load_model
from sdk.models.samples import take_samples
from sdk.rounding import Statistics
from sdk.sensitivity.moments import second_moments
from sdk.sensitivity.reach import reaching


class Pooled(nn.Module):
    """Two layers over tokens, and the mean of those that the mask lets through."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 4)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        made = self.second(torch.tanh(self.first(tokens)))
        return (made * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)


def _samples(lengths: tuple[int, ...]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    return [(torch.randn(1, 8, 6), (torch.arange(8) < length).float().unsqueeze(0)) for length in lengths]


def test_rows_that_a_mask_hides_do_not_reach() -> None:
    data = _samples((8, 3, 5, 8))
    model = load_model(Pooled(), data[0])
    found = reaching(model.module(), model.inventory.layers, data)
    assert found[0] == found[3] == {}
    assert {name: rows.tolist() for name, rows in found[1].items()} == {
        name: [True] * 3 + [False] * 5 for name in ("first", "second")
    }


def test_moments_are_those_of_the_rows_that_reach() -> None:
    data = _samples((3, 5, 2, 4))
    model = load_model(Pooled(), data[0])
    noisy = [(torch.where(mask.bool().unsqueeze(-1), x, 1e3 * torch.randn_like(x)), mask) for x, mask in data]
    one, other = (
        Statistics(parts=second_moments(model, take_samples(model, each))).moments("second") for each in (data, noisy)
    )
    assert one is not None and other is not None and one.rows == 3 + 5 + 2 + 4
    assert torch.allclose(one.value, other.value, atol=1e-5)


def test_where_all_rows_reach_nothing_is_left_out() -> None:
    model = load_model(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)), (torch.randn(1, 7, 6),))
    assert reaching(model.module(), model.inventory.layers, [(torch.randn(1, 7, 6),)] * 5) == [{}] * 5


def test_a_model_of_several_outputs_and_inputs_has_moments_too() -> None:
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(6, 4), torch.nn.Linear(4, 3)

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
            hidden = self.first(left + right)
            return {"scores": self.second(hidden), "largest": hidden.argmax(1), "sum": hidden.sum()}

    data = [(torch.randn(1, 6), torch.randn(1, 6)) for _ in range(8)]
    model = load_model(Two().eval(), data[0])
    first, second = second_moments(model, take_samples(model, data))
    assert set(first) == set(second) == {"first", "second"}
    found = (first["first"] + second["first"]).value[0]
    assert torch.allclose(found, sum((a + b).T @ (a + b) for a, b in data) / len(data), atol=1e-5)
