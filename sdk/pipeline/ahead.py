"""Prices in a second process what the first one will ask for once it has scored: both meet in the cache."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import IO

from sdk.errors import SdkError
from sdk.pipeline.kept import prices
from sdk.pipeline.planning import allowed_within, restriction_of, start, wanted_by
from sdk.pipeline.request import Request
from sdk.pipeline.workbench import Workbench
from sdk.progress import SilentReporter

SMALLEST, LARGEST = 4_000_000, 2_000_000_000
"""Bytes of float weights: a smaller model is scored before a helper has started, a larger one is not loaded twice."""

PATIENCE = 2.0
"""Seconds that the helper gets to end by itself; killed, it leaves whole cache entries all the same."""


@contextmanager
def pricing_ahead(requests: Sequence[Request], workbench: Workbench) -> Iterator[None]:
    """Price `requests` beside the block, where there is a core for it and their losses are still to be scored.

    A helper loads the model again, so a module (which is no reference) has none, nor has a tiny or a big model, nor a
    language model, whose prices are arithmetic. What it
    has not done by the end of the block is dropped, and one that fails costs nothing: who misses a price finds it out.
    """
    weights = 4 * sum(layer.parameters for layer in workbench.model.inventory.layers)
    references = all(isinstance(each.model, str) for each in requests)
    fit = SMALLEST <= weights <= LARGEST and workbench.model.language is None
    alone = (os.cpu_count() or 1) < 2 or not fit or not references
    if alone or not workbench.kept.missing(wanted_by(requests, workbench)):
        yield
        return
    helper = subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert helper.stdin is not None
    try:
        with suppress(OSError):
            given = [replace(each, metric=None, calibration=None, loss="auto") for each in requests]
            pickle.dump((sys.path, given), helper.stdin)
            helper.stdin.flush()
        with _one_core_less():
            yield
    finally:
        with suppress(OSError):
            helper.stdin.close()
        try:
            helper.wait(PATIENCE)
        except subprocess.TimeoutExpired:  # deep in a toolchain, where no signal is heard
            helper.kill()
            helper.wait()


@contextmanager
def _one_core_less() -> Iterator[None]:
    """Leave a core to the helper: threads that wait for one another are slow when one of them has no core."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, min(threads, (os.cpu_count() or 1) - 1)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _price(requests: Sequence[Request]) -> None:
    """Load the model and price every request; the cache keeps what is found."""
    from sdk.models.load import load_model

    first = requests[0]
    model = load_model(first.model, first.example, name=first.name, trust=first.trust, folder=first.folder)
    for request in requests:
        with suppress(SdkError):
            device, target, min_os = start(request, SilentReporter())
            kept, _ = allowed_within(model, target, restriction_of(device, target), min_os)
            prices(target, model, kept, min_os)


def _end_with(parent: IO[bytes]) -> None:
    """End this process as soon as the parent closes the pipe, or dies."""
    parent.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    path, requests = pickle.load(sys.stdin.buffer)
    sys.path[:] = path
    threading.Thread(target=_end_with, args=(sys.stdin.buffer,), daemon=True).start()
    _price(requests)


if __name__ == "__main__":
    _main()
