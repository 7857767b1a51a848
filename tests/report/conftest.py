"""Bundles to report on: one small real one, one of 200 layers with hostile names, and a check of it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import sdk
from sdk.bundles import Bundle, describe_artifact, dump, open_bundle
from sdk.bundles.hashing import sha256_file
from sdk.check import CheckResult
from sdk.check.profile import FIRST, parse_profile
from sdk.planning import parse_plan, plan_text

APP = Path(__file__).parents[1] / "cli" / "app"
HOSTILE = ("</script><script>alert(1)</script>", "a|b`c`*d*", "<img src=x onerror=alert(1)>", "{{ 7 * 7 }}", "ünï·層")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small app, packaged for the null target."""
    made = tmp_path_factory.mktemp("report") / "net-host-null"
    reference = f"{APP}/model.py"
    return sdk.package(
        f"{reference}:net", device="host", target="null", max_size="30kB", calibration=f"{reference}:samples",
        metric=f"{reference}:metric", out=made,
    )  # fmt: skip


@pytest.fixture(scope="session")
def deep(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same bundle as if its model had 200 layers, some with names that would be markup if they were let."""
    path = tmp_path_factory.mktemp("deep") / "deep"
    path.mkdir()
    rng = random.Random(5)
    entries, lines = [], []
    plan = parse_plan(bundle.plan, "plan.yaml")
    for number in range(200):
        name = HOSTILE[number] if number < len(HOSTILE) else f"encoder.layers.{number}.feed_forward.dense_{number % 3}"
        entry = rng.choice(bundle.manifest.layers)
        line = next(each for each in plan.layers if each.layer == entry.name)
        sizes = {"bytes": rng.randrange(200, 90_000), "parameters": rng.randrange(400, 90_000)}
        entries.append(entry.model_copy(update={"name": name, **sizes}))
        lines.append(line.model_copy(update={"layer": name, "loss": rng.random() ** 6, "reason": f"{name}: " + line.reason}))
    (path / "plan.yaml").write_text(plan_text(plan.model_copy(update={"layers": tuple(lines)})), encoding="utf-8")
    file = path / bundle.manifest.artifact.path
    file.write_bytes(bytes(sum(entry.bytes for entry in entries) + 4000))
    shutil.copy(bundle.path / "reference.safetensors", path)
    artifact = describe_artifact(file)
    changes = {"layers": tuple(entries), "artifact": artifact, "plan_sha256": sha256_file(path / "plan.yaml")}
    (path / "manifest.json").write_text(dump(bundle.manifest.model_copy(update=changes)), encoding="utf-8")
    return open_bundle(path)


@pytest.fixture(scope="session")
def hostile() -> tuple[str, ...]:
    """Names that five layers of `deep` have."""
    return HOSTILE


@pytest.fixture(scope="session")
def make_check() -> Callable[..., CheckResult]:
    """Make a check of a bundle."""
    return check


def check(bundle: Bundle, origin: str = "device", runs: int = 1200) -> CheckResult:
    """A check of `bundle` with a long tail, as a phone gives it."""
    rng = random.Random(3)
    samples = tuple(int(1e6 * (4 + rng.gammavariate(2, 0.4))) for _ in range(runs))
    ordered = sorted(samples)

    def ms(p: float) -> dict[str, object]:
        return {"value": ordered[int(p * runs)] / 1e6, "origin": origin}

    artifact = bundle.manifest.artifact
    return CheckResult.model_validate({
        "bundle": {"digest": bundle.manifest.digest, "artifact_sha256": artifact.sha256, "artifact_bytes": artifact.bytes,
                   "model": bundle.manifest.model.name, "device": bundle.manifest.device},
        "device": {"id": "0A1B2C", "name": "Pixel 8", "abi": "arm64-v8a", "os": "Android 15", "emulated": False},
        "target": bundle.manifest.target,
        "runner": {"name": "adb", "program": "runner", "runtime": "XNNPACK"},
        "protocol": {"name": "standard", "warmup": 8, "runs": runs, "seconds": 60.0, "repeats": 1, "cooldown": 60.0},
        "origin": origin,
        "load_ms": {"value": 31.5, "origin": origin}, "first_ms": {"value": 9.25, "origin": origin},
        "latency": {"p50_ms": ms(0.5), "p90_ms": ms(0.9), "p99_ms": ms(0.99), "runs": runs, "spread": None, "stability": "single",
                    "p90_interval_ms": {"low": 5.0, "high": 6.0, "confidence": 0.95, "coverage": 0.95, "origin": origin}},
        "peak_memory": {"value": 12_345_678, "origin": origin},
        "relative_error": {"value": 1e-6, "origin": origin},
        "repeats": [{"load_ns": 31_500_000, "first_ns": 9_250_000, "samples_ns": samples, "p90_ms": 5.5, "origin": origin}],
        "profile": parse_profile(f"{FIRST}\nruntime LiteRT\nruns 1\nop XNNPACK 0 3000 Softmax\nop LiteRT 1 900 CUMSUM\nend", ""),
        "budgets": [{"name": "latency", "limit": 15.0, "unit": "ms", "measured": ms(0.9), "verdict": "passed", "asked": "flag"}],
    })  # fmt: skip
