"""The loss against the float model grew."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.release.gate.compare import growth
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides

FLOOR = 1e-6
"""Growth that is rounding, whatever the baseline's loss."""


def _judge(sides: Sides) -> Iterable[Judgement]:
    old, new = sides.baseline.manifest, sides.candidate.manifest
    if old.loss != new.loss:
        message = f"loss: measured as {new.loss}, in the baseline as {old.loss}"
        yield Judgement("loss", "unjudged", message, "", old.loss, new.loss)
        return
    values = (old.measured.loss.value, new.measured.loss.value)
    yield growth("loss", *values, sides.limits.loss, most=sides.limits.max_loss, floor=FLOOR)


RULE = Rule("loss", "Loss of the artifact against the float model.", _judge)
