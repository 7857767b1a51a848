"""Tells a sample that the float model cannot run on from what is wrong with the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sdk.errors import BadInput
from sdk.models import Model
from sdk.models.running import run_float
from sdk.models.samples import Samples

FAILURES = (IndexError, RuntimeError, ValueError)
"""What operators raise of values that they do not take: a row number beyond a table, say."""


@contextmanager
def blaming(model: Model, samples: Samples) -> Iterator[None]:
    """Around work that runs the model on `samples`: BadInput where it failed because the float model fails on one of them."""
    try:
        yield
    except FAILURES as error:
        for number, inputs in enumerate(samples.inputs):
            try:
                run_float(model, model.module(), *inputs)
            except FAILURES as found:
                said = str(found).strip().splitlines()
                raise _bad(samples, number, said[0][:200] if said else type(found).__name__) from error
        raise


def _bad(samples: Samples, number: int, said: str) -> BadInput:
    if samples.origin == "given":
        return BadInput(f"calibration: sample {number}: the float model fails on it ({said}): give samples that it runs on")
    return BadInput(f"the float model fails on random inputs ({said}): give --calibration with samples that it runs on")
