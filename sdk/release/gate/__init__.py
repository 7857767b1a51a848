"""The release gate: a bundle against the one before it, rule by rule."""

from sdk.release.gate.judgement import Judgement, Report, Verdict
from sdk.release.gate.run import all_rules, judge
from sdk.release.gate.sides import Side, Sides, read_side

__all__ = ["Judgement", "Report", "Side", "Sides", "Verdict", "all_rules", "judge", "read_side"]
