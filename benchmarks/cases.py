"""The example models as benchmark cases: float model, calibration data, unseen inputs and task metric."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

DEVICES = {"tflite": "pixel8", "executorch": "pixel8", "coreml": "iphone15pro"}
"""Target → the device that bundles are made for."""
ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Case:
    """One example folder; `loss` names the measure that judges it (`kl`, `cosine` or `mse`)."""

    name: str
    factory: str
    loss: str

    @property
    def reference(self) -> str:
        """The model as on the command line: `file.py:factory`."""
        return f"{EXAMPLES / self.name / 'model.py'}:{self.factory}"

    @cached_property
    def data(self) -> Any:
        return _load(EXAMPLES / self.name / "data.py")

    @cached_property
    def loaded(self) -> tuple[Any, tuple[Any, ...]]:
        """The float module in eval mode and its example inputs."""
        return getattr(_load(EXAMPLES / self.name / "model.py"), self.factory)()

    @cached_property
    def calibration(self) -> list[tuple[Any, ...]]:
        return list(self.data.calibration())

    @cached_property
    def held_out(self) -> tuple[tuple[Any, ...], ...]:
        return self.data.held_out()

    @property
    def metric(self) -> Callable[..., float]:
        return self.data.metric

    @cached_property
    def float_outputs(self) -> Any:
        """The float model's first output on the held-out inputs, a numpy array `[inputs, width]`."""
        import torch

        with torch.inference_mode():
            return _stack(self.loaded[0](*inputs) for inputs in self.held_out)

    def outputs(self, run: Callable[..., Any]) -> Any:
        """Return the first output of `run` on the held-out inputs, a numpy array `[inputs, width]`."""
        return _stack(run(*inputs) for inputs in self.held_out)


CASES = {
    case.name: case
    for case in (
        Case("photo-classifier", "classifier", "kl"),
        Case("sentence-encoder", "encoder", "cosine"),
        Case("page-orientation", "page", "kl"),
        Case("voice-activity", "detector", "mse"),
    )
}


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a directory."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _stack(outputs: Any) -> Any:
    import numpy as np

    first = (value[0] if isinstance(value, tuple | list) else value for value in outputs)
    return np.stack([np.asarray(value, dtype=np.float64).reshape(-1) for value in first])


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
