"""Loops over a weight's columns, compiled: in torch each column is a handful of calls that take longer than what they compute.

Compiled without liberties in arithmetic, so that a rounding is the same on every processor. Importing this imports
numba, so functions do it that sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

WIDE = 256
"""Channels that are swept together: they stay in the first cache with the columns that they are taken off."""


def _compiled(function: Callable[..., Any]) -> Any:
    """`function` compiled when it is first called, and kept on disk for other processes where there is a place for that."""
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # no folder that may be written
        return njit(nogil=True, error_model="numpy")(function)


@_compiled
def _onto(
    values: Any, scale: Any, least: Any, most: Any, table: Any, middle: Any, first: int, each: int, codes: Any, made: Any
) -> None:
    """Round `values` of neighbouring channels, the first of which is channel `first`, to `codes` and what these stand for."""
    if table.shape[0] == 0:
        for c in range(codes.shape[0]):
            code = min(max(np.rint(values[c] / scale[c]), least), most)
            codes[c] = np.int16(code)
            made[c] = code * scale[c]
        return
    for c in range(codes.shape[0]):
        value, row = values[c] / scale[c], (first + c) // each
        low, high = 0, middle.shape[1]
        while low < high:
            half = (low + high) >> 1
            if middle[row, half] < value:
                low = half + 1
            else:
                high = half
        codes[c] = np.int16(low)
        made[c] = table[row, low] * scale[c]


@_compiled
def feed_block(
    work: Any, factor: Any, start: int, stop: int, scale: Any, block: Any, least: Any, most: Any, table: Any, middle: Any,
    each: int, codes: Any, errors: Any,
) -> None:
    """Round the columns from `start` to `stop` of `work` ([groups, k, channels per group]) one after the other.

    What a column errs by, over `factor`'s diagonal, goes to `errors` and is taken off those behind it in the block, times the
    row of `factor` ([groups, k, k]). For `scale` to `each` see `sdk.rounding.columns.Levels`.
    """
    groups, _, channels = work.shape
    made = np.empty(WIDE, np.float32)
    for group in range(groups):
        for c0 in range(0, channels, WIDE):
            c1 = min(channels, c0 + WIDE)
            for i in range(start, stop):
                value, error, size = work[group, i, c0:c1], errors[group, i - start, c0:c1], factor[group, i, i]
                scales = scale[group, block[group, i], c0:c1]
                _onto(value, scales, least, most, table, middle, group * channels + c0, each, codes[group, i, c0:c1], made)
                for c in range(error.shape[0]):
                    error[c] = (value[c] - made[c]) / size
                for j in range(i + 1, stop):
                    later, share = work[group, j, c0:c1], factor[group, i, j]
                    for c in range(later.shape[0]):
                        later[c] -= share * error[c]


@_compiled
def descend_block(
    now: Any, slope: Any, products: Any, start: int, stop: int, scale: Any, block: Any, least: Any, most: Any, table: Any,
    middle: Any, each: int, codes: Any, steps: Any,
) -> None:
    """Decide the columns from `start` to `stop` of `now` ([groups, k, channels per group]) again, one after the other.

    A column goes to the codes nearest to where its error is least, given `slope`, half of what the error falls by per unit;
    how far it went goes to `steps`, and changes the slope of those behind it in the block by `products` ([groups, k, k]).
    """
    groups, _, channels = now.shape
    best, made = np.empty(WIDE, np.float32), np.empty(WIDE, np.float32)
    for group in range(groups):
        for c0 in range(0, channels, WIDE):
            c1 = min(channels, c0 + WIDE)
            for i in range(start, stop):
                value, down, size = now[group, i, c0:c1], slope[group, i, c0:c1], products[group, i, i]
                for c in range(value.shape[0]):
                    best[c] = value[c] + down[c] / size
                scales, step = scale[group, block[group, i], c0:c1], steps[group, i - start, c0:c1]
                _onto(best, scales, least, most, table, middle, group * channels + c0, each, codes[group, i, c0:c1], made)
                for c in range(step.shape[0]):
                    step[c] = made[c] - value[c]
                for j in range(i + 1, stop):
                    later, share = slope[group, j, c0:c1], products[group, i, j]
                    for c in range(later.shape[0]):
                        later[c] -= share * step[c]
