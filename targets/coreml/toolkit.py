"""Imports coremltools quietly: its warnings about other versions and absent macOS parts are known."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

from sdk.errors import Missing

OLDEST, NEWEST = 16, 18
"""iOS versions whose ML programs are written; newer systems run the newest one's."""

FUNCTION_OPSETS = {16: "CoreML6", 17: "CoreML7", 18: "CoreML8"}


@cache
def coremltools() -> Any:
    """Return the coremltools module; Missing when it is not installed."""
    try:
        with quiet():
            import coremltools
    except ImportError as error:
        raise Missing("target coreml needs coremltools: pip install 'snugfit[coreml]'") from error
    logging.getLogger("coremltools").setLevel(logging.CRITICAL)
    return coremltools


def proto() -> Any:
    """Return coremltools' protobuf modules."""
    return coremltools().proto


def version() -> str:
    """Return coremltools' version."""
    return str(coremltools().__version__)


def ios(min_os: float | None) -> int:
    """Return the iOS version whose format is written for the OS floor `min_os`."""
    return NEWEST if min_os is None else max(OLDEST, min(NEWEST, int(min_os)))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep import-time chatter and progress bars off the terminal."""
    logger = logging.getLogger("coremltools")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    silent = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


