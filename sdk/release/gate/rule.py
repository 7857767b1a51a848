"""What a rule of the gate is: a name, and a function from both sides to its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sdk.release.gate.judgement import Judgement
from sdk.release.gate.sides import Sides


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `judge` returns one line at least, unless the rule is off; `help` is for SARIF and the docs."""

    name: str
    help: str
    judge: Callable[[Sides], Iterable[Judgement]]
