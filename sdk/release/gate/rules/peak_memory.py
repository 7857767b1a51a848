"""The memory that the artifact needs grew."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.release.gate.compare import show_bytes
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.measured import judge_repeats
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


def _judge(sides: Sides) -> Iterable[Judgement]:
    limits = sides.limits
    most = limits.max_peak_memory
    yield judge_repeats("peak_memory", sides, lambda repeat: repeat.peak_bytes, limits.peak_memory, most, show_bytes)


RULE = Rule("peak_memory", "Bytes that the artifact added to its process at most, as `sdk check` measured.", _judge)
