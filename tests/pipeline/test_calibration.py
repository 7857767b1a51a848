"""Calibration is any iterable, read no further than needed; the caller's module comes back as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import sdk
from sdk.errors import BadInput
from sdk.pipeline import Request, Workbench
from sdk.pipeline.request import EVALUATED
from sdk.progress import SilentReporter


class Rows(Dataset[tuple[torch.Tensor]]):
    """Map-style: an index, a length, nothing else."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[torch.Tensor]:
        if index >= len(self):
            raise IndexError(index)
        return (torch.full((1, 4), float(index)),)


def bench(calibration: Any) -> Workbench:
    return Workbench(Request(model=nn.Linear(4, 4), device="host", calibration=calibration), SilentReporter())


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: Rows(), 3),
        (lambda: TensorDataset(torch.randn(5, 4)), 5),
        (lambda: DataLoader(TensorDataset(torch.randn(8, 4)), batch_size=1), 8),
        (lambda: repeat((torch.randn(1, 4),)), EVALUATED),
        (lambda: ((torch.randn(1, 4),) for _ in range(2)), 2),
    ],
    ids=["dataset", "tensors", "loader", "endless", "generator"],
)
def test_any_iterable_calibrates(make: Callable[[], Iterable[Any]], count: int) -> None:
    assert len(bench(make()).samples) == count


def _one_buffer() -> Iterable[Any]:
    """A generator that writes every sample into the same memory."""
    rows = torch.empty(1, 4)
    for value in range(3):
        yield (rows.fill_(value),)


def test_samples_in_one_buffer_stay_apart() -> None:
    assert [sample[0][0, 0].item() for sample in bench(_one_buffer()).samples.inputs] == [0, 1, 2]


class Nested(nn.Module):
    """Takes a pair in a tuple, and returns a constant beside what it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("classes", torch.arange(4.0))

    def forward(self, pair: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return self.layer(pair[0]) + pair[1], self.classes


def test_samples_are_nested_as_the_model_takes_them_and_outputs_may_be_constant(tmp_path: Path) -> None:
    samples = [((torch.randn(1, 4), torch.randn(1, 4)),) for _ in range(4)]
    module = Nested()
    made = sdk.package(module, device="host", target="null", calibration=samples, uniform="fp16", out=tmp_path / "made")
    got, classes = made.run(*samples[0][0])
    assert torch.allclose(torch.as_tensor(got), module(*samples[0])[0], atol=1e-2)
    assert torch.equal(torch.as_tensor(classes), module.classes)


def test_what_is_no_iterable_is_refused() -> None:
    with pytest.raises(BadInput, match="int is not an iterable"):
        bench(3)


def test_the_module_is_left_as_it_was(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Sequential(nn.Linear(8, 4)).eval()).half()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    samples = [(torch.randn(1, 4).half(),)]
    sdk.package(module, device="host", target="null", calibration=samples, out=tmp_path / "made")
    assert module.training and module[0].training and not module[2].training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize(("rows", "example", "said"), [(8, None, 1), (1, None, 0), (8, (torch.randn(8, 4),), 0)])
def test_a_batch_that_nobody_asked_for_is_said(rows: int, example: Any, said: int) -> None:
    loader = DataLoader(TensorDataset(torch.randn(16, 4)), batch_size=rows)
    request = Request(model=nn.Linear(4, 4), device="host", calibration=loader, example=example)
    found = [note for note in Workbench(request, SilentReporter()).notes if "the batch of a data loader" in note]
    assert len(found) == said
    assert all("x [8, 4]" in note or "input [8, 4]" in note for note in found)


class Folded(nn.Module):
    """Looks rows up at numbers that it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(6, 4))
        self.linear = nn.Linear(4, 4)

    def forward(self, number: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.index_select(self.table, 0, number.round().long()))


@pytest.mark.parametrize("place", [0, 2])
def test_a_sample_that_the_model_fails_on_is_named(place: int) -> None:
    samples = [(torch.tensor([99.0 if i == place else 1.0]),) for i in range(4)]
    request = Request(model=Folded(), example=(torch.tensor([1.0]),), device="host", calibration=samples)
    with pytest.raises(BadInput, match=f"calibration: sample {place}: the float model fails on it"):
        _ = Workbench(request, SilentReporter()).statistics
