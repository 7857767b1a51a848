"""The bundle needs another OS version."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.release.gate.differences import differences
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


def _judge(sides: Sides) -> Iterable[Judgement]:
    old, new = ({"min_os": side.manifest.min_os} for side in (sides.baseline, sides.candidate))
    return differences("min_os", sides.limits.min_os, old, new)


RULE = Rule("min_os", "The least OS version that the bundle runs on.", _judge)
