"""A sample that the model does not take, or makes NaN of, is named in one sentence, and nothing else is printed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import sdk
from sdk.errors import BadInput


class Roots(nn.Module):
    """NaN for what is below zero."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.leave(torch.relu(self.enter(torch.sqrt(x))))


def samples(count: int, width: int = 16) -> list[tuple[torch.Tensor]]:
    torch.manual_seed(0)
    return [(torch.rand(1, width),) for _ in range(count)]


def refusal(model: nn.Module, **asked: object) -> str:
    with pytest.raises(BadInput) as caught:
        sdk.plan(model.eval(), device="host", target="null", **asked)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"calibration": samples(1, 8) + samples(3)},
         "calibration: sample 0 has shape [1, 8]; the model takes [1, 16], as calibration sample 1 has it (mat1"),
        ({"calibration": samples(4, 8)}, "calibration: sample 0 has shape [1, 8], which the model does not take (mat1"),
        ({"calibration": samples(2) + samples(1, 8)}, "calibration: sample 2: input x has shape [1, 8]; the model takes [1, 16]"),
        ({"calibration": samples(2), "inputs": samples(1, 8)[0]},
         "its example inputs have shape [1, 8]; the model takes [1, 16], as calibration sample 0 has it"),
        ({"calibration": [(x, x) for (x,) in samples(2)]}, "takes 2 positional arguments but 3 were given"),
    ],
)  # fmt: skip
def test_a_sample_of_the_wrong_shape(asked: dict[str, object], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert said in refusal(Roots(), **asked)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("number", [0, 3, 90])
def test_the_sample_that_the_model_makes_nan_of(number: int) -> None:
    """Statistics are taken of more samples than plans are judged on, and batches are split: the user's own number is said."""
    given = samples(100)
    given[1] = (torch.rand(4, 16),)
    given[number] = (-torch.ones(1, 16),)
    found = refusal(Roots(), calibration=given, inputs=(torch.rand(1, 16),))
    assert f"calibration: sample {number}: output output of the float model is NaN on it: leave it out" in found


def test_random_inputs_that_the_model_makes_nan_of() -> None:
    found = refusal(Roots(), inputs=(-torch.rand(1, 16),))
    assert found.startswith("output output of the float model is NaN on random inputs: give --calibration")


class Offsets(nn.Module):
    """One table for two features, each with rows of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.leave = nn.Embedding(40, 16), nn.Linear(32, 4)
        self.register_buffer("first", torch.tensor([0, 10]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.leave(self.rows(x + self.first).flatten(1))


class Widths(nn.Module):
    """Rows of how wide boxes are."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.leave = nn.Embedding(40, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.leave(self.rows(x[:, 1] - x[:, 0]))


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (Roots(), torch.rand(1, 16)), (Offsets(), torch.tensor([[9, 29], [0, 3]])),
        (Widths(), torch.tensor([[9, 29], [0, 3], [11, 12], [0, 30]])),
    ],
)  # fmt: skip
def test_random_inputs_lie_within_the_example_where_others_fail(model: nn.Module, example: torch.Tensor) -> None:
    found = sdk.plan(model.eval(), device="host", target="null", inputs=(example,))
    assert found.calibration.origin == "synthetic (data-free)"
