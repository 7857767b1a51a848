"""Tells inputs that a model does not take from a model that cannot be exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sdk.errors import BadInput

TRIED = 4
"""Samples of other shapes that are tried, at most, to find out what the model takes."""

Fault = Callable[[Any], str | None]
"""Says why the model fails on inputs, or None where it runs."""


class Unfit(BadInput):
    """The module itself, run eagerly, fails on its example inputs; the message is the first line of its complaint."""


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    said = str(error).strip().splitlines()
    return said[0][:200] if said else type(error).__name__


def shapes_of(inputs: Any) -> str:
    """The shapes of all tensors in inputs, such as `[1, 3, 224, 224]`."""
    from torch.utils import _pytree as pytree

    shapes = [str(list(leaf.shape)) for leaf in pytree.tree_leaves(inputs) if hasattr(leaf, "shape")]
    return ", ".join(shapes) or "no tensor"


def refused(source: str, given: Any, by_sample: bool, why: str, samples: Iterable[Any], fault: Fault) -> BadInput:
    """The refusal of `given` (the first calibration sample where `by_sample`, else example inputs), which fail by `why`.

    It says what the model takes where one of the first `samples` of other shapes shows it.
    """
    has = shapes_of(given)
    what = f"calibration: sample 0 has shape {has}" if by_sample else f"model {source!r}: its example inputs have shape {has}"
    tried = {has}
    for number, sample in enumerate(samples):
        shape = shapes_of(sample)
        if shape in tried or len(tried) > TRIED:
            continue
        tried.add(shape)
        if fault(sample) is None:
            return BadInput(f"{what}; the model takes {shape}, as calibration sample {number} has it ({why})")
    mend = "samples" if by_sample else "inputs"
    return BadInput(f"{what}, which the model does not take ({why}): give {mend} of the shape that it takes")
