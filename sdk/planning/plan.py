"""The Plan: what becomes of every layer, why, and what the finished file is predicted to be."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import fmean
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StrictInt,
    model_serializer,
)

from sdk.errors import BadInput
from sdk.planning.interval import carrying, interval
from sdk.planning.limits import Limits, Solution
from sdk.planning.options import Problem
from sdk.planning.reasons import reason
from sdk.units import parse_size

SCHEMA = 1
SYNTHETIC = "synthetic (data-free)"

def _loss(value: str) -> str:
    names = ("kl", "kl_probabilities", "cosine", "mse")
    if value not in names and not re.search(r".@[0-9a-f]{8}$", value):
        raise ValueError(f"input should be {', '.join(names)}, or a function and eight digits of its code: file.py:name@0123abcd")
    return value


Loss = Annotated[str, AfterValidator(_loss)]
"""One of the SDK's, or a function of the user's and a digest of its code."""


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _size(value: object) -> object:
    """A person may write a size as on the command line, such as 6MB."""
    try:
        return parse_size(value) if isinstance(value, str) else value
    except BadInput as error:
        raise ValueError(str(error)) from error


Bytes = Annotated[StrictInt, Field(ge=0)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, allow_inf_nan=False)]
Size = Annotated[StrictInt, BeforeValidator(_size), Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelId(_Part):
    """The model that was planned; `digest` is `Model.digest`."""

    name: str
    digest: str


class Calibration(_Part):
    """Where the losses come from: the user's samples (count and digest) or synthetic ones."""

    origin: Literal["data", "synthetic (data-free)"]
    samples: Bytes = 0
    digest: str | None = None


class Budgets(_Part):
    """The limits that the plan was made for: bytes of the finished file, loss, bytes of peak memory, ms of latency."""

    max_size: Size | None = None
    max_loss: Number | None = None
    max_memory: Size | None = None
    max_latency: Number | None = None


class Expected(_Part):
    """A predicted number with the bounds between which nine in ten measurements of its validation lay."""

    value: Number
    low: Number
    high: Number


class HeldOut(_Part):
    """How well a loss is known that was measured by cross-validation on `samples`, each on a model that it did not round.

    `low` and `high` bound it (`sdk.planning.interval`); `carrying`: how many samples of equal loss it would be as unsteady with.
    """

    samples: Bytes
    carrying: Number
    low: Number
    high: Number


class Predicted(_Part):
    """Bytes of the finished file (`base_bytes` of them are in no layer) and its loss.

    `interaction`: what the layers lose together in torch on calibration samples / the sum of what each loses alone; the loss
    is that sum times it, or the sum where it was not measured (None); `held_out` is set where the plan itself was measured.
    `peak_memory` (bytes) and `latency` (ms) are None where no model predicts them for the target or device.
    """

    artifact_bytes: Bytes
    base_bytes: Bytes
    loss: Number
    interaction: Number | None = None
    held_out: HeldOut | None = None
    peak_memory: Expected | None = None
    latency: Expected | None = None

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what was not measured: such a plan is the same text as ever."""
        written: dict[str, Any] = write(self)
        return {name: value for name, value in written.items() if name != "held_out" or value is not None}


class Line(_Part):
    """One layer: its scheme, the bytes it adds to the file, the loss it is predicted to cause, and why."""

    layer: str
    kind: str
    scheme: str
    bytes: Bytes
    loss: Number
    reason: str = ""


class Plan(_Part):
    """The reviewable artifact: a header, then one line per layer in the order of execution."""

    schema_version: StrictInt
    sdk: str
    model: ModelId
    device: str
    target: str
    accelerator: str | None = None
    min_os: Number | None = None
    loss: Loss
    calibration: Calibration
    objective: str
    budgets: Budgets
    predicted: Predicted
    layers: tuple[Line, ...]

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave an accelerator out that is not there: a plan without one is the same text as ever."""
        written: dict[str, Any] = write(self)
        return {name: value for name, value in written.items() if name != "accelerator" or value is not None}

    @property
    def schemes(self) -> dict[str, str]:
        """Layer name → scheme name."""
        return {line.layer: line.scheme for line in self.layers}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a plan's header says besides the choice itself.

    `min_os` is None where the target has no floor, `accelerator` where the plan is for what the target runs on by itself.
    """

    model: str
    digest: str
    device: str
    target: str
    min_os: float | None
    loss: Loss
    calibration: Calibration
    accelerator: str | None = None


def make_plan(
    facts: Facts,
    problem: Problem,
    solution: Solution,
    limits: Limits,
    objective: str,
    reasons: Mapping[str, str] | None = None,
) -> Plan:
    """Return the plan of `solution`; `reasons` (by layer) replace those from the marginal analysis."""
    given = reasons or {}
    lines = [
        _line(problem, choices.layer, solution, given.get(choices.layer))
        for choices in problem.choices
    ]
    return Plan(
        schema_version=SCHEMA,
        sdk=sdk_version(),
        model=ModelId(name=facts.model, digest=facts.digest),
        device=facts.device,
        target=facts.target,
        accelerator=facts.accelerator,
        min_os=facts.min_os,
        loss=facts.loss,
        calibration=facts.calibration,
        objective=objective,
        budgets=Budgets(
            max_size=limits.max_size, max_loss=limits.max_loss, max_memory=limits.max_memory, max_latency=limits.max_latency
        ),
        predicted=Predicted(
            artifact_bytes=solution.bytes,
            base_bytes=problem.base,
            loss=_shown(solution.loss, limits.max_loss),
        ),
        layers=tuple(lines),
    )


def corrected(plan: Plan, interaction: float | None) -> Plan:
    """Return the plan with the loss that its layers have together, by the measured `interaction`."""
    if interaction is None:
        return plan
    loss = _shown(interaction * summed(plan), plan.budgets.max_loss)
    predicted = plan.predicted.model_copy(update={"loss": loss, "interaction": interaction, "held_out": None})
    return plan.model_copy(update={"predicted": predicted})


def measured_apart(plan: Plan, losses: Sequence[float]) -> Plan:
    """Return the plan with what its layers lose together on samples that did not round them: the mean of `losses`."""
    lost, alone = fmean(losses), summed(plan)
    if not math.isfinite(lost):
        return plan
    low, high = interval(losses)
    found = HeldOut(
        samples=len(losses), carrying=float(f"{carrying(losses):.2g}"), low=float(f"{low:.3g}"),
        high=float(f"{min(high, sys.float_info.max):.3g}"),
    )
    made = corrected(plan, float(f"{lost / alone:.3g}")) if alone > 0 else plan
    loss = made.predicted.loss if alone > 0 else _shown(lost, plan.budgets.max_loss)
    return made.model_copy(update={"predicted": made.predicted.model_copy(update={"loss": loss, "held_out": found})})


def summed(plan: Plan) -> float:
    """The sum of what each layer loses alone."""
    return math.fsum(line.loss for line in plan.layers)


def sdk_version() -> str:
    """Return the version of the installed distribution, or `unknown`."""
    try:
        return version("snugfit")
    except PackageNotFoundError:
        return "unknown"


def significant(value: float) -> float:
    """Round to the six significant digits that a plan shows."""
    return float(f"{value:.6g}")


def _line(problem: Problem, layer: str, solution: Solution, given: str | None) -> Line:
    option, choices = solution.chosen[layer], problem[layer]
    return Line(
        layer=layer,
        kind=choices.kind,
        scheme=option.scheme,
        bytes=option.bytes,
        loss=significant(option.loss),
        reason=_reason(problem, layer, solution) if given is None else given,
    )


def _reason(problem: Problem, layer: str, solution: Solution) -> str:
    """Why the layer has its scheme, beside the others' of a solution."""
    choices = problem.beside(layer, solution.schemes) if problem.joins else problem[layer]
    chosen = choices.option(solution.chosen[layer].scheme) if problem.joins else solution.chosen[layer]
    return reason(choices, chosen or solution.chosen[layer])


def _shown(loss: float, limit: float | None) -> float:
    """Round, unless rounding up would show a loss above the limit that the plan keeps."""
    shown = significant(loss)
    return loss if limit is not None and loss <= limit < shown else shown
