"""The example folders as `sdk.yaml` names them: factories, calibration, unseen inputs and metrics."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/sdk.yaml"))
OUTPUTS = {
    "photo-classifier": [(1, 1000)], "sentence-encoder": [(1, 384)], "page-orientation": [(1, 4)],
    "voice-activity": [(1, 2), (2, 1, 128)],
}  # fmt: skip
FLOAT = {"photo-classifier": 0.875, "sentence-encoder": 0.654, "page-orientation": 1.0, "voice-activity": 0.974}
SAMPLES = {"sentence-encoder": 256, "voice-activity": 256}


def load(name: str, field: str) -> tuple[ModuleType, Any]:
    """Import the file that `field` of the example's sdk.yaml names; return it and the named function."""
    file, _, attribute = yaml.safe_load((EXAMPLES / name / "sdk.yaml").read_text())[field].partition(":")
    spec = importlib.util.spec_from_file_location(f"example_{name}_{file}", EXAMPLES / name / file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, getattr(module, attribute)


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """An example whose data are here: recordings come from Debian packages, not with pip."""
    if request.param == "voice-activity":
        try:
            load("voice-activity", "calibration")[0].sounds()
        except FileNotFoundError as error:
            pytest.skip(str(error))
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    made: tuple[torch.nn.Module, tuple[torch.Tensor, ...]] = load(name, "model")[1]()
    return made


@pytest.fixture(scope="module")
def samples(name: str) -> list[tuple[torch.Tensor, ...]]:
    return list(load(name, "calibration")[1]())


def test_the_examples_are_complete() -> None:
    assert set(OUTPUTS) == set(NAMES)
    for name in NAMES:
        assert (EXAMPLES / name / "README.md").read_text().count("licence"), name


def test_the_factory_gives_a_module_in_eval_mode_that_exports(name: str, model: Any) -> None:
    module, example = model
    assert not module.training
    with torch.no_grad():
        made = module(*example)
    assert [tuple(each.shape) for each in (made if isinstance(made, tuple) else (made,))] == OUTPUTS[name]
    program = torch.export.export(module, example)
    assert len(program.graph_signature.user_inputs) == len(example)


def test_the_weights_are_the_published_ones_every_time(name: str, model: Any) -> None:
    again, _ = load(name, "model")[1]()
    state = again.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model[0].state_dict().items())


def test_calibration_has_the_models_shapes_and_is_deterministic(name: str, model: Any, samples: Any) -> None:
    example = model[1]
    assert len(samples) == SAMPLES.get(name, 64)
    for sample in samples:
        assert [(t.shape, t.dtype) for t in sample] == [(t.shape, t.dtype) for t in example]
        assert all(bool(torch.isfinite(t).all()) for t in sample if t.is_floating_point())
    for first, second in zip(samples, load(name, "calibration")[1](), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_unseen_inputs_are_not_calibrated_on(name: str, samples: Any) -> None:
    data, _ = load(name, "calibration")
    seen = {tuple(t.numpy().tobytes() for t in sample) for sample in samples}
    unseen = [tuple(t.numpy().tobytes() for t in inputs) for inputs in data.held_out()]
    assert len(unseen) >= 80
    assert not seen.intersection(unseen)


def test_the_metric_of_the_float_model_is_as_published(name: str, model: Any) -> None:
    module, _ = model
    with torch.no_grad():
        assert load(name, "metric")[1](module) == pytest.approx(FLOAT[name], abs=0.026)


def test_the_metric_notices_a_broken_model(name: str, model: Any) -> None:
    module, _ = model

    def broken(*inputs: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return module(*(torch.zeros_like(t) if t.is_floating_point() else t % 7 for t in inputs))

    assert load(name, "metric")[1](broken) < 0.8 * FLOAT[name]
