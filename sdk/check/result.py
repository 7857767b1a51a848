"""What one check found: the schema of its JSON file, every number with the place it was measured at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdk.check.profile import ProfileEntry
from sdk.errors import BadInput
from sdk.files import write_whole

SCHEMA = 1

Origin = Literal["host", "emulator", "device"]
"""Where a number was measured: on this machine, on an emulated processor, or on the device itself."""
Stability = Literal["stable", "unstable", "single"]
"""Whether the repeats agree; `single` where there was one only."""
Verdict = Literal["passed", "failed", "unjudged"]
"""`unjudged`: the number is no number of the device, so it can neither pass nor fail there."""
Nanoseconds = Annotated[int, Field(ge=0)]
Bytes = Annotated[int, Field(ge=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Measured(_Frozen):
    """One number (None: not known) and where it was measured; the field's name holds its unit."""

    value: float | int | None
    origin: Origin


class Interval(_Frozen):
    """Bounds of a quantile from order statistics, whatever the distribution; None where there are too few samples.

    `coverage` is the probability that the bounds hold the quantile of the population, at least `confidence`.
    """

    low: float | None
    high: float | None
    confidence: float
    coverage: float | None
    origin: Origin


class BundleEntry(_Frozen):
    """What was checked: the manifest's digest, the artifact's sha256 and bytes, the model and the device it is for."""

    digest: str
    artifact_sha256: str
    artifact_bytes: Bytes
    model: str
    device: str


class DeviceEntry(_Frozen):
    """What it was checked on: `id` (serial, host name, `local`), `name` as it calls itself, `abi`, `os`, `emulated`.

    `product` is Android's Build.BRAND/Build.DEVICE, such as `google/shiba`, and `model` its Build.MODEL, or what the device
    tree of a board calls it.
    """

    id: str
    name: str = ""
    product: str = ""
    model: str = ""
    abi: str = ""
    os: str = ""
    emulated: bool = False


class RunnerEntry(_Frozen):
    """What ran it: the runner (`local`, `adb`, …), its `program` on the device with its sha256, and the runtime."""

    name: str
    program: str
    program_sha256: str = ""
    runtime: str = ""


class ProtocolEntry(_Frozen):
    """How it was measured: runs before measuring, least runs and seconds per repeat, repeats, seconds between them."""

    name: str
    warmup: int
    runs: int
    seconds: float
    repeats: int
    cooldown: float


class Environment(_Frozen):
    """State of the machine at one moment; what cannot be read is None or absent.

    `governors` and `clocks_khz` by core, `temperatures_mc` (milli-degrees Celsius) by thermal zone, `thermal_status`
    as the system calls it (`none`, `light`, `moderate`, `severe`, …), `battery_percent`, `charging`, `load` (1 minute).
    """

    governors: dict[str, str] = {}
    clocks_khz: dict[str, int] = {}
    temperatures_mc: dict[str, int] = {}
    thermal_status: str | None = None
    battery_percent: int | None = None
    charging: bool | None = None
    load: float | None = None


class Repeat(_Frozen):
    """One fresh process: raw nanoseconds of loading, of the first run and of each measured run; peak bytes above base.

    `resident` are bytes of the process at equal distances over the runs, for leaks; `p90_ms` is of these samples.
    `own_ns` and `against_ns` are runs in turns of this artifact and the one that it is compared with, neighbours at the
    same place; empty where there was no comparison.
    """

    load_ns: Nanoseconds
    first_ns: Nanoseconds
    samples_ns: tuple[Nanoseconds, ...]
    p90_ms: float
    base_bytes: Bytes | None = None
    peak_bytes: Bytes | None = None
    resident: tuple[Bytes, ...] = ()
    own_ns: tuple[Nanoseconds, ...] = ()
    against_ns: tuple[Nanoseconds, ...] = ()
    origin: Origin


class Latency(_Frozen):
    """Quantiles in ms over the samples of all repeats, how far the repeats lie apart, and whether that is stable.

    `spread` is (largest - smallest) / smallest of the repeats' p90, None for one repeat.
    """

    p50_ms: Measured
    p90_ms: Measured
    p99_ms: Measured
    p90_interval_ms: Interval
    runs: int
    spread: float | None
    stability: Stability


class BudgetEntry(_Frozen):
    """One budget: the `limit` in `unit` (`ms`, `bytes`, `relative`), what was measured, and the verdict with its reason.

    `asked` says who set it: `flag`, `profile`, or `sdk` for the limit of the relative error.
    """

    name: str
    limit: float
    unit: Literal["ms", "bytes", "relative", "ratio"]
    measured: Measured
    verdict: Verdict
    asked: Literal["flag", "profile", "sdk"]
    why: str = ""


class BaselineEntry(_Frozen):
    """The earlier bundle that it was compared with, measured in turns: as many repeats, each in a process of its own."""

    bundle: BundleEntry
    repeats: Annotated[tuple[Repeat, ...], Field(min_length=1)]


class CheckResult(_Frozen):
    """Everything that one check found. `origin` is that of the run; each number repeats it.

    `peak_memory` is bytes that the artifact added to its process at the worst moment of any repeat, `memory_method`
    how that was read. `relative_error` is the norm of the difference from the bundle's recorded output over its norm.
    `other_device` says why the device is not the one that the bundle is for (empty: it is, or that is not known).
    `throttling` is the p50 of the last tenth of the runs over that of the first; `leak` bytes per 1,000 runs with its
    interval; both are None where the protocol does not measure them. `profile` is None where none was asked for.
    """

    schema_version: Literal[1] = 1
    bundle: BundleEntry
    device: DeviceEntry
    other_device: str = ""
    target: str
    runner: RunnerEntry
    protocol: ProtocolEntry
    origin: Origin
    load_ms: Measured
    first_ms: Measured
    latency: Latency
    peak_memory: Measured
    memory_method: str = ""
    relative_error: Measured
    throttling: Measured | None = None
    leak: Measured | None = None
    leak_interval: Interval | None = None
    repeats: Annotated[tuple[Repeat, ...], Field(min_length=1)]
    baseline: BaselineEntry | None = None
    profile: ProfileEntry | None = None
    before: Environment = Environment()
    after: Environment = Environment()
    budgets: tuple[BudgetEntry, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """`failed` when a budget failed, else `unjudged` when one could not be judged, else `passed`."""
        found = {budget.verdict for budget in self.budgets}
        return "failed" if "failed" in found else "unjudged" if "unjudged" in found else "passed"

    @property
    def exit_code(self) -> int:
        """0, or 1 when a budget failed or one that a flag asked for could not be judged."""
        bad = [b for b in self.budgets if b.verdict == "failed" or (b.verdict == "unjudged" and b.asked == "flag")]
        return 1 if bad else 0


def result_data(result: CheckResult) -> dict[str, Any]:
    """Return the result as JSON data, `verdict` included."""
    return {**result.model_dump(mode="json"), "verdict": result.verdict}


def write_result(result: CheckResult, path: Path) -> None:
    """Write the result as JSON, whole or not at all; BadInput when the place cannot be written."""
    text = json.dumps(result_data(result), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write_whole(path, text)


def read_result(path: str | Path) -> CheckResult:
    """Read a result that `write_result` wrote; BadInput `file: field: problem` when it is none or a newer one."""
    try:
        data = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({(error.strerror or str(error)).lower()})") from None
    except ValueError as error:
        raise BadInput(f"{path}: is not JSON ({error}): name a file of `sdk check --out`") from None
    if not isinstance(data, dict) or "schema_version" not in data:
        raise BadInput(f"{path}: is no check result: name a file of `sdk check --out`")
    if isinstance(data["schema_version"], int) and data["schema_version"] > SCHEMA:
        raise BadInput(f"{path}: schema_version: {data['schema_version']}: this sdk reads up to {SCHEMA}; upgrade it")
    verdict = data.pop("verdict", None)
    try:
        result = CheckResult.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"])
        raise BadInput(f"{path}: {field}: {first['msg'].lower()}: run `sdk check --out` again") from None
    if verdict not in (None, result.verdict):
        raise BadInput(f"{path}: verdict: {verdict!r} is not what its budgets say ({result.verdict}): it was edited")
    return result
