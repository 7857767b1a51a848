"""The user's own metric on the float model, the quantized model and the finished artifact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sdk.bundles import MetricEntry
from sdk.errors import BadInput
from sdk.lowering import Executable
from sdk.models.references import load_attribute
from sdk.pipeline.lowered import Lowered
from sdk.pipeline.request import Request
from sdk.progress import Reporter


def measure_metric(request: Request, lowered: Lowered, report: Reporter) -> MetricEntry | None:
    """Call `metric(run)` for each of the three models; None when no metric was given.

    `run` takes the model's inputs and returns what the model returns (one tensor, or a tuple of several).
    """
    if request.metric is None:
        return None
    metric, name = load_metric(request)
    module = lowered.planned.model.module()
    reference = lowered.planned.target.reference(lowered.quantized)
    with report.stage("metric", 3) as stage:
        values = []
        for run in (_of_module(module), _single(reference), _of_artifact(lowered.executable)):
            values.append(_call(metric, name, run))
            stage.step()
    return MetricEntry(name=name, float=values[0], quantized=values[1], artifact=values[2])


def load_metric(request: Request) -> tuple[Callable[[Any], float], str]:
    """Return the metric and its name."""
    from pathlib import Path

    metric = request.metric
    name = getattr(metric, "__name__", "metric")
    if isinstance(metric, str):
        name = metric.rpartition(":")[2]
        metric = load_attribute(metric, request.folder or Path(), "metric")
    if not callable(metric):
        raise BadInput(f"metric: {request.metric!r} is not a function metric(run) -> float")
    return metric, name


def _call(metric: Callable[[Any], float], name: str, run: Callable[..., Any]) -> float:
    import math

    try:
        value = float(metric(run))
    except BadInput:
        raise
    except (Exception, SystemExit) as error:
        raise BadInput(f"metric: {name} failed: {type(error).__name__}: {error}") from error
    if not math.isfinite(value):
        raise BadInput(f"metric: {name} returned {value}; a finite number is needed, higher is better")
    return value


def _tensors(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    import torch

    return tuple(torch.as_tensor(value) for value in inputs)


def _single(call: Callable[..., Any]) -> Callable[..., Any]:
    def run(*inputs: Any) -> Any:
        outputs = tuple(call(*_tensors(inputs)))
        return outputs[0] if len(outputs) == 1 else outputs

    return run


def _of_module(module: Any) -> Callable[..., Any]:
    import torch

    def call(*inputs: Any) -> Any:
        with torch.no_grad():
            return module(*inputs)

    return _single(call)


def _of_artifact(executable: Executable) -> Callable[..., Any]:
    import torch

    return _single(lambda *inputs: tuple(torch.as_tensor(a) for a in executable.run([t.numpy() for t in inputs])))
