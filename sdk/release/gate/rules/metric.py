"""The user's own metric of the artifact fell."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.release.gate.compare import drop
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides

FLOOR = 1e-9
"""Fall that is rounding."""


def _judge(sides: Sides) -> Iterable[Judgement]:
    old, new = sides.baseline.manifest.metric, sides.candidate.manifest.metric
    if old is None and new is None and sides.limits.min_metric is None:
        yield Judgement("metric", "passed", "metric: neither bundle has one")
        return
    if old is not None and new is None:
        yield Judgement("metric", "failed", f"metric: the baseline has {old.name}, this bundle has none", "", old.artifact)
        return
    if old is not None and new is not None and old.name != new.name:
        yield Judgement("metric", "unjudged", f"metric: {new.name}, in the baseline {old.name}", "", old.name, new.name)
        return
    values = (old.artifact if old else None, new.artifact if new else None)
    yield drop("metric", *values, sides.limits.metric, least=sides.limits.min_metric, floor=FLOOR)


RULE = Rule("metric", "The project's own metric of the artifact, higher is better.", _judge)
