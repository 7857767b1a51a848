"""The bundle was made with other tools."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.release.gate.differences import differences
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


def _judge(sides: Sides) -> Iterable[Judgement]:
    old, new = (side.manifest.tool_versions for side in (sides.baseline, sides.candidate))
    return differences("tools", sides.limits.tools, old, new)


RULE = Rule("tools", "Versions of the SDK, torch and the target's toolchain.", _judge)
