"""The median latency grew."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.check.result import Repeat
from sdk.check.statistics import quantile
from sdk.release.gate.compare import show_ms
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.measured import judge_repeats
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


def _judge(sides: Sides) -> Iterable[Judgement]:
    limits = sides.limits
    yield judge_repeats("latency_p50", sides, _median, limits.latency_p50, limits.max_latency_p50, show_ms)


def _median(repeat: Repeat) -> float:
    return quantile(repeat.samples_ns, 0.5) / 1e6


RULE = Rule("latency_p50", "Median latency that `sdk check` measured on the device.", _judge)
