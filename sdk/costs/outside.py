"""Which steps of an inference a runtime computes outside of its accelerated parts."""

from __future__ import annotations

from collections.abc import Collection

from sdk.costs.activations import Activations


def outside_steps(
    found: Activations, layers: Collection[str], kinds: Collection[str], taken: Collection[str] = ()
) -> frozenset[int]:
    """Return the steps that compute one of `layers`, or an operator called as one of `kinds`; where some are `taken`, any other.

    `first_masked_attention` is the first attention whose mask holds truth values: a runtime that makes numbers of it once ends an
    accelerated part there which begins the graph; elsewhere the mask is made before.
    """
    steps = frozenset(
        step for step, (layer, kind) in enumerate(zip(found.layers, found.kinds, strict=True))
        if layer in layers or (layer is None and (kind in kinds or (taken and kind not in taken)))
    )
    steps |= found.integers if taken else frozenset()
    first = "first_masked_attention" in kinds and 0 not in steps
    return steps | set(sorted(found.masked)[:1]) if first else steps
