"""The bundle is for another runtime, or for another accelerator of it."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.release.gate.differences import differences
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


def _judge(sides: Sides) -> Iterable[Judgement]:
    old, new = (
        {"target": m.target, "artifact": m.artifact.path, "accelerator": m.accelerator and m.accelerator.kind}
        for m in (sides.baseline.manifest, sides.candidate.manifest)
    )
    return differences("target", sides.limits.target, old, new)


RULE = Rule("target", "The runtime and accelerator that the bundle was made for, and the artifact's name.", _judge)
