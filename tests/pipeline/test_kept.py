"""What the cache changes of a bundle: nothing but the time it takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from sdk.cli.main import run
from sdk.pipeline import Request, Workbench, package
from sdk.progress import Reporter
from sdk.sensitivity import Scoring

pytestmark = pytest.mark.usefixtures("quiet", "app")

COSTLY = (
    "sdk.pipeline.together.quantize", "sdk.pipeline.lowered.compare", "sdk.pipeline.workbench.Taking.importance",
    "sdk.pipeline.workbench.calibrate_ranges", "sdk.pipeline.workbench.Scoring.score", "targets.null.target.NullTarget.lower",
    "targets.null.target.NullTarget.price", "targets.null.target.NullTarget.open",
)  # fmt: skip


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def costly(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the expensive steps, as they are taken."""
    taken: list[str] = []

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            taken.append(name.rpartition(".")[2])
            return real(*args, **kwargs)

        return call

    for name in COSTLY:
        monkeypatch.setattr(name, watched(name, resolve_name(name)))
    return taken


def request(device: str = "host", out: str = "made", **words: Any) -> Request:
    words = {"max_size": 30_000, "calibration": "model.py:samples", **words}
    return Request(model="model.py:net", device=device, target="null", out=Path(out), command="sdk package", **words)


def made(wanted: Request, workbench: Workbench | None = None) -> dict[str, bytes]:
    bundle = package(wanted, Reporter(), workbench)
    return {path.name: path.read_bytes() for path in bundle.path.iterdir()}


def test_a_second_bundle_of_the_same_plan_takes_no_expensive_step_and_has_the_same_bytes(cache: Path, costly: list[str]) -> None:
    first = made(request())
    assert {"quantize", "lower", "importance", "score", "price", "compare"} <= set(costly)
    costly.clear()
    assert made(request()) == first
    assert costly == []


def test_without_a_cache_the_bytes_are_the_same(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = made(request()), made(request())
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "app" / "model.py" / "no folder"))
    assert made(request()) == first == again


def test_a_metric_of_the_users_own_is_measured_every_time(cache: Path, costly: list[str]) -> None:
    first = made(request(metric="model.py:metric"))
    costly.clear()
    assert made(request(metric="model.py:metric")) == first
    assert costly == ["quantize", "open"]


def test_an_artifact_is_never_taken_for_another_plan_s(cache: Path, costly: list[str]) -> None:
    made(request())
    costly.clear()
    made(request(max_size=40_000))
    made(request(uniform="q8", max_size=None))
    assert costly.count("lower") == 2 and costly.count("score") == 0


def test_a_damaged_artifact_is_lowered_again(cache: Path, costly: list[str]) -> None:
    first = made(request())
    (artifact,) = cache.glob("lowered/*/model.null")
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"?")
    costly.clear()
    assert made(request()) == first
    assert costly == ["quantize", "lower"]


def test_a_finished_bundle_is_recalled_whole_or_made_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Realised schemes of bytes that were read before are not read again; no part of an entry that changed is taken."""
    read: list[int] = []
    real = resolve_name("targets.null.target.NullTarget.realised")
    monkeypatch.setattr("targets.null.target.NullTarget.realised", lambda *given: (read.append(1), real(*given))[1])
    first = made(request())
    assert made(request()) == first and read == [1]
    (kept,) = cache.glob("bundles/*/manifest.json")
    kept.write_text(kept.read_text().replace('"device": "host"', '"device": "pixel8"'))
    assert made(request()) == first and read == [1, 1]
    (run_before,) = cache.glob("verified/*/reference.safetensors")
    run_before.unlink()
    assert made(request()) == first and read == [1, 1, 1]


def test_what_else_one_run_makes_is_not_seen_in_a_bundle(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first bundle's notes are not the second's, and scores do not depend on which were asked for first."""
    report = Reporter()
    wanted = request(calibration=None)
    bench = Workbench(wanted, report)
    package(request("pixel8", "first", calibration=None, uniform="q4", max_size=None), report, bench)
    assert any(note.startswith("uniform q4") for note in report.notes)
    together = made(wanted, bench)
    assert [note.partition(":")[0] for note in json.loads(together["manifest.json"])["notes"]] == ["loss", "no calibration data"]
    monkeypatch.setenv("SDK_CACHE", str(cache / "other"))
    assert made(wanted) == together


def test_a_model_taken_in_portions_gives_the_same_bundle(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a big model is: statistics of a few layers at a time, read back from the cache, and scores of a few grids."""
    first = made(request())
    monkeypatch.setenv("SDK_CACHE", str(cache / "other"))
    monkeypatch.setattr("sdk.sensitivity.statistics.HELD_STATISTICS", 3000)
    monkeypatch.setattr(import_module("sdk.sensitivity.score"), "MEMORY", 8000)
    assert made(request()) == first
    assert len(list((cache / "other" / "statistics").iterdir())) > 1


def test_a_killed_scoring_goes_on_where_it_was(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(request())
    monkeypatch.setenv("SDK_CACHE", str(cache / "other"))
    monkeypatch.setattr(import_module("sdk.sensitivity.score"), "MEMORY", 8000)
    real, scored = Scoring.score, []

    def third_time_killed(self: Scoring, wanted: Any, *args: Any) -> Any:
        scored.append(wanted)
        if len(scored) == 3:
            raise KeyboardInterrupt
        return real(self, wanted, *args)

    monkeypatch.setattr(Scoring, "score", third_time_killed)
    with pytest.raises(KeyboardInterrupt):
        made(request())
    assert made(request()) == first
    assert scored[2] == scored[3] and scored[0] not in scored[1:]


def test_the_verb_shows_and_clears(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(request())
    assert run(["cache", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {"statistics", "lowered", "prices", "scores", "verified"} <= set(shown["kinds"])
    assert run(["cache", "--clear"]) == 0
    assert "freed" in capsys.readouterr().out
    assert run(["cache", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == 0
