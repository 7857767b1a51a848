"""More operators run outside of the accelerated parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sdk.release.gate.compare import growth
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


def _judge(sides: Sides) -> Iterable[Judgement]:
    old, new = (side.manifest.ops for side in (sides.baseline, sides.candidate))
    allowed = sides.limits.outside_ops
    total = growth("outside_ops", sum(old.outside.values()), sum(new.outside.values()), allowed)
    more = {name: count - old.outside.get(name, 0) for name, count in new.outside.items() if count > old.outside.get(name, 0)}
    named = ", ".join(f"{name} +{count}" for name, count in sorted(more.items()))
    parts = f"; {old.delegates} → {new.delegates} delegates" if old.delegates != new.delegates else ""
    yield replace(total, message=total.message + (f": {named}" if named else "") + parts)


RULE = Rule("outside_ops", "Operators that fall back to the runtime's own kernels, one by one.", _judge)
