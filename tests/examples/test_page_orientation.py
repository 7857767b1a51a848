"""The rebuilt page-orientation network against the ONNX file that its weights come from."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator

FILE = Path(__file__).resolve().parents[2] / "examples" / "page-orientation" / "model.py"


def test_probabilities_equal_those_of_the_onnx_file() -> None:
    spec = importlib.util.spec_from_file_location("page_orientation_model", FILE)
    assert spec and spec.loader
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    module, _ = example.page()
    evaluator = ReferenceEvaluator(onnx.load(example.onnx_file()))
    picture = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
    (wanted,) = evaluator.run(None, {"x": picture})
    with torch.no_grad():
        got = torch.softmax(module(torch.from_numpy(picture)), -1).numpy()
    np.testing.assert_allclose(got, wanted, atol=2e-6)
