"""Where a request decides every layer itself, nothing else has to be scored and priced."""

from __future__ import annotations

from collections.abc import Mapping

from sdk.lowering import Target
from sdk.models import Layer
from sdk.pipeline.request import Request
from sdk.pipeline.workbench import Workbench
from sdk.planning import EXACT, NO_PRICE, Refusal, first_of, read_plan
from sdk.schemes import Scheme
from sdk.sensitivity.errors import grid_key

Kept = dict[str, list[Scheme]]
Refused = dict[str, list[Refusal]]


def narrowed(request: Request, bench: Workbench, target: Target, kept: Kept, refused: Refused) -> tuple[Kept, Refused]:
    """Leave each layer the scheme that the request's plan or preset gives it; the others are refused for that reason.

    A layer whose scheme is not among those `kept` keeps all, so that whoever takes the plan says why.
    """
    if not request.given:
        return kept, refused
    wanted = _wanted(request, bench, target, kept)
    said = "the plan decides this layer" if request.plan is not None else f"uniform {request.uniform} decides this layer"
    left: Kept = {}
    more: Refused = {}
    for name, schemes in kept.items():
        chosen = [scheme for scheme in schemes if scheme.name in wanted.get(name, ())] or schemes
        others = [Refusal(scheme.name, said) for scheme in schemes if scheme not in chosen]
        left[name], more[name] = chosen, sorted([*refused[name], *others], key=lambda refusal: refusal.scheme)
    return left, more


def without_unpriced(
    allowed: Kept, refused: Refused, kept: Kept, prices: Mapping[str, Mapping[str, int]]
) -> tuple[Kept, Refused] | None:
    """Refuse the schemes that layers were left with and the target cannot price, where others are allowed; None: no layer has."""
    stuck = {
        name for name, schemes in kept.items()
        if len(schemes) < len(allowed[name]) and not any(scheme.name in prices[name] for scheme in schemes)
    }
    if not stuck:
        return None
    others = {name: [s for s in allowed[name] if name not in stuck or s not in kept[name]] for name in allowed}
    why = {name: [Refusal(s.name, NO_PRICE) for s in kept[name]] if name in stuck else [] for name in allowed}
    return others, {name: [*refused[name], *why[name]] for name in allowed}


def _wanted(request: Request, bench: Workbench, target: Target, kept: Kept) -> dict[str, set[str]]:
    if request.plan is not None:
        return {name: {scheme} for name, scheme in read_plan(request.plan).schemes.items()}
    if request.uniform == EXACT:
        return {layer.name: _exact(layer, bench, target, kept[layer.name]) for layer in bench.model.inventory.layers}
    first = {name: first_of(str(request.uniform), {scheme.name for scheme in schemes}) for name, schemes in kept.items()}
    return {name: {scheme} for name, scheme in first.items() if scheme is not None}


def _exact(layer: Layer, bench: Workbench, target: Target, schemes: list[Scheme]) -> set[str]:
    """The schemes of fewest bits that hold the layer's weights as they are, and floats: the smallest that can be priced is taken.

    Of each format those whose scales are fewest; of one grid those that compute in floats, where there are any.
    """
    held: list[Scheme] = []
    for scheme in sorted(schemes, key=lambda scheme: (scheme.bits, _scales(layer, scheme))):
        rivals = [each for each in held if each.format == scheme.format]
        needless = any(_scales(layer, each) < _scales(layer, scheme) for each in rivals) or (held and held[0].bits < scheme.bits)
        if scheme.format != "float" and not needless and bench.holds(layer, scheme):  # to look through all weights takes long
            held.append(scheme)
    plain = {grid_key(scheme) for scheme in held if scheme.activations == "float"}
    return {s.name for s in held if s.activations == "float" or grid_key(s) not in plain} | {target.lossless}


def _scales(layer: Layer, scheme: Scheme) -> float:
    """Scales, or tables, of one output channel's weights."""
    inputs = layer.parameters // layer.shape[layer.channel_axis]
    if scheme.format == "lut":
        return inputs / scheme.scale_group if scheme.scale_group else 0.0
    return inputs / scheme.group if scheme.granularity == "group" else 1.0
