"""An app that feeds the model has to change."""

from __future__ import annotations

from collections.abc import Iterable

from sdk.bundles import Tensor
from sdk.release.gate.differences import differences
from sdk.release.gate.judgement import Judgement
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


def _judge(sides: Sides) -> Iterable[Judgement]:
    old, new = ({**_named("input", m.inputs), **_named("output", m.outputs)}
                for m in (sides.baseline.manifest.model, sides.candidate.manifest.model))
    return differences("interface", sides.limits.interface, old, new)


def _named(kind: str, tensors: tuple[Tensor, ...]) -> dict[str, str]:
    return {f"{kind} {i} {t.name}": f"{t.dtype} {list(t.shape)}" for i, t in enumerate(tensors)}


RULE = Rule("interface", "Order, names, dtypes and shapes of the model's inputs and outputs.", _judge)
