"""Traces recurrent layers by the shapes of what they make, where torch goes through all of their steps each time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOCK = threading.RLock()


@contextmanager
def recurrent_by_shape() -> Iterator[None]:
    """Run the block with the shorter way in place of torch's decompositions on fake tensors; they are as before afterwards."""
    from torch._decomp import decompositions
    from torch._subclasses.fake_tensor import FakeTensor

    def helper(x: Any, *args: Any) -> Any:
        return original(x, *args[:-1], _shaped if isinstance(x, FakeTensor) else args[-1])

    with _LOCK:
        original = decompositions._rnn_helper
        decompositions._rnn_helper = helper
        try:
            yield
        finally:
            decompositions._rnn_helper = original


def _shaped(x: Any, states: Any, weights: Any, biased: bool, reverse: bool = False) -> tuple[Any, Any]:
    """Outputs and last states of one layer in one direction: tensors of their shapes."""
    width = (states[0] if isinstance(states, tuple) else states).shape[-1]
    return x.new_empty(*x.shape[:-1], width), states
