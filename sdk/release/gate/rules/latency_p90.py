"""The latency that one run in ten exceeds grew."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.release.gate.compare import show_ms
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.measured import judge_repeats
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


def _judge(sides: Sides) -> Iterable[Judgement]:
    limits = sides.limits
    yield judge_repeats("latency_p90", sides, lambda repeat: repeat.p90_ms, limits.latency_p90, limits.max_latency_p90, show_ms)


RULE = Rule("latency_p90", "90th percentile of the latency that `sdk check` measured on the device.", _judge)
