"""Pricing beside scoring: what the helper finds is in the cache, and it never outlives the block."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sdk.cache import Cache
from sdk.pipeline import Request, Workbench, pricing_ahead
from sdk.progress import SilentReporter

MODEL = """
import pathlib, os
import torch
def net():
    with open(pathlib.Path(__file__).parent / "loaded", "a") as log:
        log.write(f"{os.getpid()}\\n")
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, 1024)), (torch.randn(1, 8),)
"""

pytestmark = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs a second core")


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "model.py").write_text(MODEL)
    return Request(model=f"{tmp_path}/model.py:net", device="pixel8", target="null", max_loss=0.1)


def _loaders(request: Request) -> list[int]:
    folder = Path(str(request.model).partition(":")[0]).parent
    return [int(line) for line in (folder / "loaded").read_text().split()]


def _wait(what: object) -> None:
    end = time.monotonic() + 120
    while not what() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.1)


def test_prices_are_in_the_cache(request_: Request) -> None:
    bench = Workbench(request_, SilentReporter())
    with pricing_ahead([request_], bench):
        _wait(lambda: any(usage.kind == "prices" for usage in Cache().usage()))
    assert [usage.entries for usage in Cache().usage() if usage.kind == "prices"] == [1]


def test_the_helper_ends_with_the_block(request_: Request) -> None:
    bench = Workbench(request_, SilentReporter())
    with pytest.raises(ZeroDivisionError), pricing_ahead([request_], bench):
        _wait(lambda: len(_loaders(request_)) > 1)
        raise ZeroDivisionError
    helper = next(pid for pid in _loaders(request_) if pid != os.getpid())
    assert not Path(f"/proc/{helper}").exists()


def test_nothing_is_started_where_everything_is_scored(request_: Request) -> None:
    bench = Workbench(request_, SilentReporter())
    from sdk.pipeline.planning import wanted_by

    bench.losses(wanted_by([request_], bench))
    with pricing_ahead([request_], bench):
        pass
    assert set(_loaders(request_)) == {os.getpid()}
