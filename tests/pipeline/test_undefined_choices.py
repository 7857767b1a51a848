"""A model that chooses among equal numbers is told from a target that computes something else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import sdk
from sdk.errors import CheckFailed
from sdk.models.load import load_model
from sdk.planning import plan_text
from sdk.sensitivity import blind_layers
from sdk.verify import undefined_choice


class Detector(nn.Module):
    """The rows of four best scores; all are equal where the layer of scores was never trained."""

    def __init__(self, trained: bool) -> None:
        super().__init__()
        self.enter, self.score, self.leave = nn.Linear(16, 16), nn.Linear(16, 1), nn.Linear(16, 4)
        if not trained:
            nn.init.zeros_(self.score.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = torch.relu(self.enter(x))
        best = self.score(rows)[..., 0].topk(4).indices
        return self.leave(rows.gather(1, best[..., None].expand(-1, -1, 16)))


def test_equal_scores_are_named_when_the_artifact_differs() -> None:
    torch.manual_seed(0)
    samples = [(torch.randn(1, 40, 16),) for _ in range(3)]
    with pytest.raises(CheckFailed, match="topk of the model chooses among numbers that are equal"):
        sdk.package(Detector(False).eval(), device="host", target="tflite", uniform="fp32", calibration=samples)
    sdk.package(Detector(True).eval(), device="host", target="tflite", uniform="fp32", calibration=samples)


@pytest.mark.parametrize(("choose", "undefined"), [
    (lambda x: x.topk(2).indices, False), (lambda x: x.topk(3).indices, True), (lambda x: x.topk(4).indices, True),
    (lambda x: x.topk(3).values, False), (lambda x: x.topk(1, largest=False).indices, False),
    (lambda x: x.topk(5, sorted=False).indices, True), (lambda x: x.sort().indices, True),
    (lambda x: x[:, :3].sort(1).indices, False), (lambda x: x.sort(0).indices, False), (lambda x: x.argmax(), False),
])
def test_equal_numbers_that_compete_are_found(choose: Callable[[torch.Tensor], torch.Tensor], undefined: bool) -> None:
    class Chosen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Linear(1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.scale(choose(x).flatten()[:1].float())

    x = torch.tensor([[4.0, 3.0, 2.0, 2.0, 1.0]])  # the third and the fourth are equal
    assert (undefined_choice(load_model(Chosen().eval(), (x,)), (x,)) is not None) == undefined


def test_a_layer_that_only_chooses_is_tried_and_not_taken_for_free(tmp_path: Path) -> None:
    torch.manual_seed(0)
    samples = [(torch.randn(1, 200, 16),) for _ in range(4)]
    net = Detector(True).eval()
    assert blind_layers(load_model(net, samples[0])) == {"score"}
    bundle = sdk.package(net, device="host", target="null", max_size="4kB", calibration=samples, out=tmp_path / "b")
    assert bundle.manifest.measured.loss.value < 1e-4  # 0.47 where one bit was enough for it, as no gradient told


def test_a_loss_of_other_choices_is_told_as_such(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, samples = Detector(True).eval(), [(torch.randn(1, 200, 16),) for _ in range(4)]
    plan = plan_text(sdk.plan(net, device="host", target="null", max_size="4kB", calibration=samples))
    edited = tmp_path / "plan.yaml"
    edited.write_text(re.sub(r"(?m)^(- \{layer: enter, kind: linear, scheme: )\w+", r"\g<1>lut1", plan))
    bundle = sdk.package(net, device="host", target="null", plan=edited, calibration=samples, out=tmp_path / "b")
    said = r"predicted: topk of the model takes other numbers in \d of 4 samples"
    assert any(re.search(said, note) for note in bundle.manifest.notes), bundle.manifest.notes
