"""What the gate says of one rule: a verdict, both values and one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

Verdict = Literal["failed", "warned", "unjudged", "passed"]
"""`unjudged`: a number is missing or was not measured on the device, so it can neither pass nor fail."""

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """One line of the gate. `subject` is what of the rule it is about (a layer, a tool; else empty).

    `baseline` and `candidate` are the two values, `limit` what is allowed, `message` the sentence.
    """

    rule: str
    verdict: Verdict
    message: str
    subject: str = ""
    baseline: Any = None
    candidate: Any = None
    limit: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All judgements, in the order of the rules' names, and which bundles were compared."""

    candidate: str
    baseline: str
    judgements: tuple[Judgement, ...]

    @property
    def failures(self) -> tuple[Judgement, ...]:
        """The lines that fail the gate."""
        return tuple(line for line in self.judgements if line.verdict == "failed")

    def count(self, verdict: Verdict) -> int:
        """How many lines have this verdict."""
        return sum(line.verdict == verdict for line in self.judgements)
