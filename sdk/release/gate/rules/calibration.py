"""The losses come from other data, or from none."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.release.gate.compare import at_level
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


def _judge(sides: Sides) -> Iterable[Judgement]:
    level = sides.limits.calibration
    old, new = (side.plan.calibration for side in (sides.baseline, sides.candidate))
    if level != "off" and new.origin != old.origin:
        message = f"calibration: {old.origin} → {new.origin}"
        yield Judgement("calibration", at_level(level), message, "", old.origin, new.origin)
    elif level != "off" and new.samples < old.samples:
        message = f"calibration: {old.samples} → {new.samples} samples"
        yield Judgement("calibration", at_level(level), message, "", old.samples, new.samples)
    elif level != "off":
        yield Judgement("calibration", "passed", f"calibration: {new.origin}, {new.samples} samples")


RULE = Rule("calibration", "Where the losses and ranges come from: the project's samples or synthetic ones.", _judge)
