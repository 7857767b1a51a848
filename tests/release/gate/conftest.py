"""Real bundles of the small app under the null target, and check results with known samples."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sdk.bundles import dump, open_bundle
from sdk.bundles.manifest import MANIFEST
from sdk.check.result import (
    BundleEntry,
    CheckResult,
    DeviceEntry,
    Interval,
    Latency,
    Measured,
    ProtocolEntry,
    Repeat,
    RunnerEntry,
    write_result,
)
from sdk.cli.main import run

APP = Path(__file__).parents[2] / "cli" / "app"


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Path]]:
    """Packages the app: `make(name, *flags, edit={old: new})` returns the bundle, each in a cache of its own, once."""
    root = tmp_path_factory.mktemp("gate")
    here, cache = Path.cwd(), os.environ.get("SDK_CACHE")

    def make(name: str, *flags: str, edit: dict[str, str] | None = None) -> Path:
        folder = root / name
        if folder.exists():
            return folder / "made"
        shutil.copytree(APP, folder, ignore=shutil.ignore_patterns("__pycache__"))
        for old, new in (edit or {}).items():
            for file in ("model.py", "sdk.yaml"):
                (folder / file).write_text((folder / file).read_text().replace(old, new))
        os.chdir(folder)
        os.environ["SDK_CACHE"] = str(folder / "cache")
        try:
            assert run(["package", *flags, "--out", "made"]) == 0
        finally:
            os.chdir(here)
        return folder / "made"

    yield make
    if cache is not None:
        os.environ["SDK_CACHE"] = cache


@pytest.fixture(scope="session")
def baseline(workshop: Callable[..., Path]) -> Path:
    return workshop("baseline")


@pytest.fixture
def resealed(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a bundle with other values in its manifest, sealed again: what another machine may have made."""

    def copy(bundle: Path, **changes: Any) -> Path:
        place = tmp_path / "resealed"
        shutil.copytree(bundle, place)
        manifest = open_bundle(place).manifest
        (place / MANIFEST).write_text(dump(type(manifest).model_validate(manifest.model_dump(by_alias=True) | changes)))
        return place

    return copy


def check_result(
    bundle: Path, latencies: Sequence[Sequence[float]], peaks: Sequence[int], origin: str = "host", phone: str = "Pixel 8"
) -> CheckResult:
    """A result as `sdk check` writes it: one sequence of latencies (ms) and one peak (bytes) for each repeat."""
    manifest = open_bundle(bundle).manifest
    known = [
        Repeat(load_ns=1, first_ns=1, samples_ns=tuple(round(ms * 1e6) for ms in repeat),
               p90_ms=sorted(repeat)[-1 - len(repeat) // 10], peak_bytes=peak, origin=origin)
        for repeat, peak in zip(latencies, peaks, strict=True)
    ]  # fmt: skip
    one = Measured(value=1.0, origin=origin)
    return CheckResult(
        bundle=BundleEntry(digest=manifest.digest, artifact_sha256=manifest.artifact.sha256,
                           artifact_bytes=manifest.artifact.bytes, model=manifest.model.name, device=manifest.device),
        device=DeviceEntry(id="1", name=phone), target=manifest.target, runner=RunnerEntry(name="null", program="null"),
        protocol=ProtocolEntry(name="quick", warmup=1, runs=9, seconds=0, repeats=len(known), cooldown=0), origin=origin,
        load_ms=one, first_ms=one,
        latency=Latency(p50_ms=one, p90_ms=one, p99_ms=one, runs=9, spread=0.0, stability="stable",
                        p90_interval_ms=Interval(low=1, high=1, confidence=0.95, coverage=None, origin=origin)),
        peak_memory=Measured(value=max(peaks), origin=origin), relative_error=Measured(value=0.0, origin=origin),
        repeats=tuple(known),
    )  # fmt: skip


@pytest.fixture
def checked(tmp_path: Path) -> Callable[..., Path]:
    """Writes a check result and returns its file."""
    def write(bundle: Path, latencies: Sequence[Sequence[float]], peaks: Sequence[int], **words: str) -> Path:
        path = tmp_path / f"check{len(list(tmp_path.iterdir()))}.json"
        write_result(check_result(bundle, latencies, peaks, **words), path)
        return path

    return write


@pytest.fixture
def gate(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    """Runs `sdk gate --json` and returns its exit code and lines."""
    def call(bundle: Path, baseline: Path, *flags: str) -> tuple[int, list[dict[str, Any]]]:
        capsys.readouterr()
        code = run(["gate", str(bundle), "--baseline", str(baseline), *flags, "--json"])
        lines: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["judgements"]
        return code, lines

    return call
