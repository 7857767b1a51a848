"""The file of a result: what was written is read back, and what was edited is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sdk.check import (
    BudgetEntry,
    BundleEntry,
    CheckResult,
    DeviceEntry,
    Interval,
    Latency,
    Measured,
    ProtocolEntry,
    Repeat,
    RunnerEntry,
    read_result,
    write_result,
)
from sdk.check.junit import junit_text
from sdk.errors import BadInput


def number(value: float | None) -> Measured:
    return Measured(value=value, origin="device")


def result(*verdicts: str, asked: str = "profile") -> CheckResult:
    budgets = tuple(
        BudgetEntry(name="max_latency", limit=8, unit="ms", measured=number(5), verdict=verdict, asked=asked)  # type: ignore[arg-type]
        for verdict in verdicts
    )
    return CheckResult(
        bundle=BundleEntry(digest="d", artifact_sha256="a", artifact_bytes=3, model="net", device="pixel8"),
        device=DeviceEntry(id="12AB", name="Pixel 8", abi="arm64-v8a", os="android 14"),
        target="tflite",
        runner=RunnerEntry(name="adb", program="litert-c", program_sha256="f"),
        protocol=ProtocolEntry(name="quick", warmup=10, runs=50, seconds=0, repeats=1, cooldown=0),
        origin="device",
        load_ms=number(1), first_ms=number(6.5),
        latency=Latency(
            p50_ms=number(5), p90_ms=number(5.5), p99_ms=number(6),
            p90_interval_ms=Interval(low=5.2, high=5.9, confidence=0.95, coverage=0.96, origin="device"),
            runs=2, spread=None, stability="single",
        ),
        peak_memory=number(10_000_000), relative_error=number(1e-7),
        repeats=(Repeat(load_ns=1_000_000, first_ns=6_500_000, samples_ns=(5_000_000, 5_500_000), p90_ms=5.5, origin="device"),),
        budgets=budgets,
    )  # fmt: skip


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    write_result(result("passed"), tmp_path / "check.json")
    assert read_result(tmp_path / "check.json") == result("passed")
    assert [path.name for path in tmp_path.iterdir()] == ["check.json"]


@pytest.mark.parametrize(("unit", "limit", "found", "said"), [
    ("bytes", 180_000_000, 180_000_001, "measured 180,000,001 (device), limit 180,000,000 bytes"),
    ("ms", 8.00001, 8.0000234567, "measured 8.00002 (device), limit 8.00001 ms"),
])  # fmt: skip
def test_junit_tells_a_figure_from_a_limit_that_it_is_just_above(unit: str, limit: float, found: float, said: str) -> None:
    tight = BudgetEntry(name="limit", limit=limit, unit=unit, measured=number(found), verdict="failed", asked="flag")
    suite = ElementTree.fromstring(junit_text(result("passed").model_copy(update={"budgets": (tight,)})))
    failure = suite.find("testcase/failure")
    assert failure is not None and failure.get("message") == said


@pytest.mark.parametrize(
    ("verdicts", "asked", "verdict", "code"),
    [
        ((), "profile", "passed", 0),
        (("passed", "failed"), "profile", "failed", 1),
        (("passed", "unjudged"), "profile", "unjudged", 0),
        (("passed", "unjudged"), "flag", "unjudged", 1),
    ],
)
def test_the_verdict_is_the_worst_of_the_budgets(verdicts: tuple[str, ...], asked: str, verdict: str, code: int) -> None:
    found = result(*verdicts, asked=asked)
    assert (found.verdict, found.exit_code) == (verdict, code)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"schema_version": 9}, "schema_version: 9: this sdk reads up to 1"),
        ({"origin": "guess"}, "origin: input should be 'host'"),
        ({"extra": 1}, "extra: extra inputs"),
        ({"verdict": "failed"}, "verdict: 'failed' is not what its budgets say"),
        ({"repeats": []}, "repeats: tuple should have at least 1"),
    ],
)
def test_an_edited_file_is_refused(tmp_path: Path, edit: dict[str, object], words: str) -> None:
    path = tmp_path / "check.json"
    write_result(result("passed"), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | edit))
    with pytest.raises(BadInput, match=r"check\.json: ") as caught:
        read_result(path)
    assert words in str(caught.value)


@pytest.mark.parametrize(("text", "words"), [("", "is not JSON"), ("[]", "is no check result"), ("{}", "is no check result")])
def test_another_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=words):
        read_result(path)


def test_a_place_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written"):
        write_result(result(), tmp_path / "none" / "check.json")
