"""What a report says, as plain data: the page, the Markdown, the terminal and `--json` all show these numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

SCHEMA = 1

State = Literal["good", "bad", "open"]
"""Whether a statement holds, does not, or cannot be judged from what is known."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number (None: not known), its unit (`bytes`, `nats`, `ms`, `relative`, …) and where it came from."""

    value: float | int | None
    unit: str
    origin: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure as predicted and as measured; `ratio` is measured / predicted, `limit` the budget, both None where absent.

    `low` and `high` bound a predicted loss that samples lost which did not round the file; else None.
    """

    name: str
    predicted: Number
    measured: Number
    ratio: float | None
    limit: float | int | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """The app's own metric (higher is better) of the float model, the quantized model and the artifact."""

    name: str
    float_model: Number
    quantized: Number
    artifact: Number


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer in the order of execution: weights, scheme, stored bytes, bits a weight, predicted loss, and why."""

    name: str
    kind: str
    scheme: str
    parameters: int
    bytes: int
    bits: float | None
    loss: float
    reason: str


@dataclass(frozen=True, slots=True)
class KindShare:
    """All layers of one kind: how many, their stored bytes and the share of the artifact."""

    kind: str
    layers: int
    bytes: int
    share: float


@dataclass(frozen=True, slots=True)
class Point:
    """One size of the Pareto front, predicted: bytes, least loss, loss saved by the next kB, and whether it is the knee."""

    bytes: int
    loss: float
    saves_per_kb: float
    knee: bool


@dataclass(frozen=True, slots=True)
class TimedPoint:
    """One latency (ms) of a front, predicted: least loss and its bytes, loss saved by the next ms, and whether it is the knee."""

    latency: float
    loss: float
    bytes: int
    saves_per_ms: float
    knee: bool


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the artifact's outputs are from the quantized model's; `floor` is what rounding alone does, `limit` the most."""

    error: Number
    floor: Number
    limit: float


@dataclass(frozen=True, slots=True)
class Operators:
    """Operators by name and count: in the `delegates` accelerated parts, outside them, or where nobody can look."""

    delegates: int
    delegated: dict[str, int]
    outside: dict[str, int]
    unknown: dict[str, int]


@dataclass(frozen=True, slots=True)
class Bin:
    """How many runs took from `low` to below `high` ms."""

    low: float
    high: float
    runs: int


@dataclass(frozen=True, slots=True)
class Judged:
    """One budget of a check: the `limit` in `unit`, the verdict and its reason."""

    name: str
    limit: float
    unit: str
    verdict: str
    why: str


@dataclass(frozen=True, slots=True)
class Executed:
    """The operators of one kernel in one run: what executed them, how many, ms of all of them, and their share of the time.

    `outside`: they are the runtime's own, left out by its delegate.
    """

    name: str
    backend: str
    outside: bool
    count: int
    ms: float
    share: float


@dataclass(frozen=True, slots=True)
class Check:
    """One `sdk check`: on what, how it was measured, the quantiles, the distribution of all runs, and the budgets.

    `beyond` counts the runs above the bins (outliers, up to `slowest` ms); `executed` are the operators of its profile, if any.
    """

    on: str
    runner: str
    protocol: str
    origin: str
    p50: Number
    p90: Number
    p99: Number
    first: Number
    load: Number
    peak_memory: Number
    runs: int
    repeats: int
    stability: str
    bins: tuple[Bin, ...]
    beyond: int
    slowest: float
    verdict: str
    budgets: tuple[Judged, ...]
    executed: tuple[Executed, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence in plain language: what it is about, whether it is good news, and where its number came from."""

    about: str
    state: State
    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class Part:
    """One bundle of a report; `float_bytes` are its layers' weights as float32."""

    path: str
    model: str
    device: str
    device_name: str
    target: str
    min_os: float | None
    runtime: str
    artifact: str
    artifact_sha256: str
    digest: str
    command: str
    objective: str
    loss: str
    loss_unit: str
    calibration: str
    headline: str
    state: State
    statements: tuple[Statement, ...]
    float_bytes: int
    size: Figure
    quality: Figure
    metric: Metric | None
    parity: Parity
    layers: tuple[Layer, ...]
    kinds: tuple[KindShare, ...]
    base_bytes: int
    front: tuple[Point, ...]
    operators: Operators | None
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    tool_versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """All bundles of a report in the order in which they were named, and one sentence about them all."""

    headline: str
    parts: tuple[Part, ...]

    def as_data(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {"schema_version": SCHEMA, "headline": self.headline, "bundles": [asdict(part) for part in self.parts]}
