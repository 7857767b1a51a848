"""What a sweep found out: one row per cell, in `sweep.json`, written whole after every result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sdk.errors import BadInput
from sdk.files import write_whole

REPORT = "sweep.json"


class Row(BaseModel):
    """One cell. `bundle` is its folder beside `sweep.json`; `sha256` that of the artifact, `manifest_sha256` that of
    `manifest.json`, which seals all other files; `plan` a digest of everything that decides the bundle. A cell that failed
    has one sentence as `error` and, where a budget could not be met, the `counter_offer`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: str
    model: str
    device: str
    target: str
    max_size: int | None = None
    max_loss: float | None = None
    uniform: str | None = None
    status: Literal["waiting", "built", "infeasible", "failed"] = "waiting"
    bytes: int | None = None
    loss: float | None = None
    loss_kind: str | None = None
    sha256: str | None = None
    manifest_sha256: str | None = None
    bundle: str | None = None
    plan: str | None = None
    error: str | None = None
    counter_offer: dict[str, Any] | None = None


class SweepReport(BaseModel):
    """The whole of `sweep.json`: rows in the order of the matrix."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    rows: tuple[Row, ...] = ()


def read_report(out: Path) -> SweepReport:
    """Return the report in the folder `out`, empty when there is none; BadInput when it is not a sweep's."""
    path = out / REPORT
    try:
        return SweepReport.model_validate(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return SweepReport()
    except (OSError, ValueError, ValidationError):
        raise BadInput(f"{path}: is no report of a sweep: choose another --out, or remove the file") from None


def write_report(out: Path, report: SweepReport) -> None:
    """Replace the report in `out` in one step, flushed to disk."""
    text = json.dumps(report.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_whole(out / REPORT, text)
