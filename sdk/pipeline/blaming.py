"""Tells a sample that the float model cannot run on from what is wrong with the SDK."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sdk.errors import BadInput
from sdk.models import Model
from sdk.models.running import run_float
from sdk.models.samples import Samples
from sdk.models.unfit import first_line
from sdk.sensitivity import NotFinite

FAILURES = (IndexError, RuntimeError, ValueError)
"""What operators raise of values that they do not take: a row number beyond a table, say."""


@contextmanager
def blaming(model: Model, samples: Samples) -> Iterator[None]:
    """Around work that runs the model on `samples`: BadInput where it failed because the float model fails on one of them."""
    try:
        yield
    except (*FAILURES, NotFinite) as error:
        for number, inputs in enumerate(samples.inputs):
            try:
                outputs = run_float(model, model.module(), *inputs)
            except FAILURES as found:
                raise _bad(samples, number, f"the float model fails on {{}} ({first_line(found)})") from error
            check_finite(model, samples, number, outputs)
        raise


def check_finite(model: Model, samples: Samples, number: int, outputs: Sequence[Any]) -> None:
    """BadInput where one of the float model's `outputs` on the sample at the place `number` is NaN or infinite."""
    for spec, tensor in zip(model.outputs, outputs, strict=True):
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            what = "NaN" if bool(tensor.isnan().any()) else "infinite"
            raise _bad(samples, number, f"output {spec.name} of the float model is {what} on {{}}")


def _bad(samples: Samples, number: int, said: str) -> BadInput:
    if samples.origin != "given":
        return BadInput(f"{said.format('random inputs')}: give --calibration with samples that it runs on")
    named = samples.numbers[number] if samples.numbers else number
    return BadInput(f"calibration: sample {named}: {said.format('it')}: leave it out, or mend the model for such inputs")
