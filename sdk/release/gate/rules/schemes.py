"""Layers are stored in other schemes."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.release.gate.differences import differences
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


def _judge(sides: Sides) -> Iterable[Judgement]:
    old, new = ({layer.name: layer.realised for layer in side.manifest.layers} for side in (sides.baseline, sides.candidate))
    return differences("schemes", sides.limits.schemes, old, new)


RULE = Rule("schemes", "The scheme of every layer, as read from the artifact.", _judge)
