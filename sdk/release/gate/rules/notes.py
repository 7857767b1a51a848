"""The bundle has something to say that the baseline had not."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.release.gate.compare import at_level
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


def _judge(sides: Sides) -> Iterable[Judgement]:
    level = sides.limits.notes
    old, new = set(sides.baseline.manifest.notes), sides.candidate.manifest.notes
    added = [note for note in new if note not in old]
    if level != "off":
        yield from (Judgement("notes", at_level(level), f"notes: new: {note}", note[:40], None, note) for note in added)
        if not added:
            yield Judgement("notes", "passed", "notes: nothing new")


RULE = Rule("notes", "What the bundle's maker was told.", _judge)
