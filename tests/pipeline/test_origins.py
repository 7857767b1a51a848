"""A refusal that names a limit which nobody gave says where that is from."""

from __future__ import annotations

from typing import Any

import pytest

from sdk.devices import find_device
from sdk.errors import BudgetError
from sdk.pipeline import Request
from sdk.pipeline.choosing import limits_of, origins_of
from sdk.pipeline.refusing import NotKept, with_origins
from sdk.planning import Infeasible, Limits
from sdk.planning.offers import Limit, RowsOffer

PIXEL = find_device("pixel8")


def origins(**asked: Any) -> dict[str, str]:
    request = Request(model="net.py:net", device="pixel8", **asked)
    return origins_of(request, PIXEL, limits_of(request, PIXEL)[0])


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"max_memory": 500_000}, {"max_size": "of the profile of pixel8"}),
        ({"max_size": 4_000_000, "max_memory": 500_000}, {}),
        ({"max_loss": 0.1}, {}),
        ({"objective": "fastest", "max_size": 4_000_000}, {"max_loss": "the default"}),
        ({}, {"max_size": "of the profile of pixel8", "max_loss": "of the profile of pixel8"}),
    ],
)
def test_what_nobody_gave_is_known(asked: dict[str, Any], found: dict[str, str]) -> None:
    assert origins(**asked) == found


def refused(*names: str) -> Infeasible:
    return Infeasible(RowsOffer(tuple(Limit(name, 2e9, 1e9, 3e9, 0.1) for name in names)))


def test_a_refusal_by_sums_says_it_and_keeps_its_offer() -> None:
    error = with_origins(refused("max_size", "max_memory"), origins(max_memory=500_000))
    assert str(error).endswith(" (max_size is of the profile of pixel8; --max-size replaces it)")
    assert isinstance(error, Infeasible) and isinstance(error.offer, RowsOffer)


def test_a_limit_that_the_refusal_does_not_name_is_not_told() -> None:
    assert str(with_origins(refused("max_memory"), origins(max_memory=500_000))) == str(refused("max_memory"))


def test_a_refusal_by_predictions_says_it_too() -> None:
    kept = NotKept(Limits(max_memory=500_000), {}, {"max_memory": 600_000.0})
    error = with_origins(kept, {"max_memory": "the default"})
    assert str(error).endswith("(max_memory is the default; --max-memory replaces it)") and isinstance(error, BudgetError)
