"""The artifact's arithmetic moved away from the quantized model's."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.release.gate.compare import growth
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides

FLOOR = 1e-3
"""Growth that other kernels, threads or processors may cause by rounding alone."""


def _judge(sides: Sides) -> Iterable[Judgement]:
    old, new = (side.manifest.measured.relative_error.value for side in (sides.baseline, sides.candidate))
    limits = sides.limits
    yield growth("relative_error", old, new, limits.relative_error, most=limits.max_relative_error, floor=FLOOR)


RULE = Rule("relative_error", "Relative error of the artifact against the quantized torch model.", _judge)
