"""The rebuilt voice activity detector against the ONNX file that its weights come from."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "voice-activity"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"voice_activity_{name}_tested", EXAMPLE / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_probabilities_and_state_equal_those_of_the_onnx_file_on_speech() -> None:
    example, data = _load("model"), _load("data")
    try:
        data.sounds()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    module, (_, state) = example.detector()
    evaluator = ReferenceEvaluator(onnx.load(example.onnx_file()))
    wanted_state, found = state.numpy(), []
    audio, _ = data._streams(data.UNSEEN, 1, 1)[0]
    with torch.no_grad():
        for chunk in audio[:60]:
            feed = {"input": chunk.numpy(), "state": wanted_state, "sr": np.array(example.RATE, np.int64)}
            wanted, wanted_state = evaluator.run(None, feed)
            probabilities, state = module(chunk, state)
            np.testing.assert_allclose(probabilities[:, 1:].numpy(), wanted, atol=2e-5)
            np.testing.assert_allclose(state.numpy(), wanted_state, atol=2e-4)
            found.append(float(wanted[0, 0]))
    assert min(found) < 0.1 and max(found) > 0.9, "the stream holds silence and speech"


def test_voices_and_prompts_that_judge_are_not_calibrated_on() -> None:
    data = _load("data")
    assert not set(data.CALIBRATION) & set(data.UNSEEN)
    try:
        data.sounds()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    names = [{file.name for voice in data.CALIBRATION + data.UNSEEN for file in data._prompts(voice, part)} for part in (0, 1)]
    assert names[0] and names[1] and not names[0] & names[1]
