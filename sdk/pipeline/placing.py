"""Where an artifact's operators run, as the manifest keeps it."""

from __future__ import annotations

from pathlib import Path

from sdk.bundles import Operators
from sdk.lowering import Target


def operators(target: Target, artifact: Path) -> Operators:
    """Ask the target and return the counts by name; CheckFailed when the artifact is damaged."""
    found = target.placement(artifact)
    counts = {part: dict(sorted(getattr(found, part).items())) for part in ("delegated", "outside", "unknown")}
    return Operators(delegates=found.delegates, **counts)
