"""The bundle is for another device."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.release.gate.differences import differences
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


def _judge(sides: Sides) -> Iterable[Judgement]:
    old, new = sides.baseline.manifest, sides.candidate.manifest
    return differences("device", sides.limits.device, {"device": old.device}, {"device": new.device})


RULE = Rule("device", "The device that the bundle was made for.", _judge)
