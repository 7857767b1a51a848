"""The artifact grew."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.release.gate.compare import growth, show_bytes
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


def _judge(sides: Sides) -> Iterable[Judgement]:
    old, new = (side.manifest.artifact.bytes for side in (sides.baseline, sides.candidate))
    yield growth("size", old, new, sides.limits.size, most=sides.limits.max_size, show=show_bytes)


RULE = Rule("size", "Bytes of the artifact.", _judge)
