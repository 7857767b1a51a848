"""Where a request decides every layer itself, nothing else has to be scored and priced."""

from __future__ import annotations

from sdk.lowering import Target
from sdk.models import Layer
from sdk.pipeline.request import Request
from sdk.pipeline.workbench import Workbench
from sdk.planning import EXACT, Refusal, first_of, read_plan
from sdk.schemes import Scheme

Kept = dict[str, list[Scheme]]
Refused = dict[str, list[Refusal]]


def narrowed(request: Request, bench: Workbench, target: Target, kept: Kept, refused: Refused) -> tuple[Kept, Refused]:
    """Leave each layer the scheme that the request's plan or preset gives it; the others are refused for that reason.

    A layer whose scheme is not among those `kept` keeps all, so that whoever takes the plan says why.
    """
    if request.plan is None and request.uniform is None:
        return kept, refused
    wanted = _wanted(request, bench, target, kept)
    said = "the plan decides this layer" if request.plan is not None else f"uniform {request.uniform} decides this layer"
    left: Kept = {}
    more: Refused = {}
    for name, schemes in kept.items():
        chosen = [scheme for scheme in schemes if scheme.name == wanted.get(name)] or schemes
        others = [Refusal(scheme.name, said) for scheme in schemes if scheme not in chosen]
        left[name], more[name] = chosen, sorted([*refused[name], *others], key=lambda refusal: refusal.scheme)
    return left, more


def _wanted(request: Request, bench: Workbench, target: Target, kept: Kept) -> dict[str, str | None]:
    if request.plan is not None:
        return dict(read_plan(request.plan).schemes)
    if request.uniform == EXACT:
        return {layer.name: _exact(layer, bench, target, kept[layer.name]) for layer in bench.model.inventory.layers}
    return {name: first_of(str(request.uniform), {scheme.name for scheme in schemes}) for name, schemes in kept.items()}


def _exact(layer: Layer, bench: Workbench, target: Target, schemes: list[Scheme]) -> str:
    """The smallest scheme that holds the layer's weights as they are; float where none does."""
    integers = sorted((s for s in schemes if s.format != "float"), key=_bits)
    held = next((s for s in integers if bench.holds(layer, s)), None)
    return held.name if held is not None else target.lossless


def _bits(scheme: Scheme) -> tuple[float, str]:
    """Bits of a weight with its share of a scale of 16 bits, and the name where they are alike."""
    group = scheme.scale_group or (scheme.group if scheme.granularity == "group" and scheme.format == "int" else 0)
    return scheme.bits + (16 / group if group else 0.0), scheme.name
