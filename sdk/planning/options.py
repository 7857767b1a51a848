"""What a layer may become: the schemes that target, device and shape allow, with bytes and loss each."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sdk.errors import BadInput
from sdk.lowering import Capability
from sdk.models import Layer
from sdk.planning.rows import Row
from sdk.schemes import Scheme, fits
from sdk.sensitivity import Response

Restriction = Callable[[Layer, Scheme], str | None]
"""The device's own limits: says why a layer cannot run in a scheme there, or None when it can."""

NO_PRICE = "the target gave no price for it"

_GATES = {"lstm": 4, "gru": 3}


@dataclass(frozen=True, slots=True)
class Option:
    """One scheme that a layer may take: bytes in the finished file, predicted loss (0 or more, finite)."""

    scheme: str
    bytes: int
    loss: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """One scheme that a layer may not take, and why."""

    scheme: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choices:
    """Everything considered for one layer (`kind` as in `Layer.kind`).

    `options` are sorted by bytes, then loss, then name; there is at least one. `refused` by name.
    """

    layer: str
    kind: str
    options: tuple[Option, ...]
    refused: tuple[Refusal, ...] = ()

    def option(self, scheme: str) -> Option | None:
        """Return the option called `scheme`, or None."""
        return next((o for o in self.options if o.scheme == scheme), None)

    def refusal(self, scheme: str) -> str | None:
        """Return why `scheme` is refused, or None when it was not."""
        return next((r.reason for r in self.refused if r.scheme == scheme), None)

    @property
    def front(self) -> tuple[Option, ...]:
        """The options that no other one beats on both bytes and loss: bytes rising, loss falling."""
        kept: list[Option] = []
        for option in self.options:
            if not kept or option.loss < kept[-1].loss:
                kept.append(option)
        return tuple(kept)


@dataclass(frozen=True, slots=True)
class Tie:
    """Two layers that hold one weight. `saved`: (scheme of the first, scheme of the later) → bytes that a file saves by storing
    it once; `apart`: other pairs are stored apart, else there are none."""

    first: str
    later: str
    saved: Mapping[tuple[str, str], int]
    apart: bool


@dataclass(frozen=True, slots=True)
class Join:
    """Two layers that cost `saved` bytes less together where both have one of `schemes`. No solver counts on it: limits are kept
    without, and what a plan is said to weigh is less."""

    first: str
    later: str
    saved: int
    schemes: frozenset[str]

    def saves(self, first: str, later: str) -> int:
        """Bytes that these schemes of the two save."""
        return self.saved if first in self.schemes and later in self.schemes else 0


@dataclass(frozen=True, slots=True)
class Problem:
    """A whole model to plan: `base` bytes that no choice changes, the choices of every layer, rows of other budgets, which
    layers hold one weight, which cost less beside each other, and what the loss is of the sum of the layers' losses."""

    base: int
    choices: tuple[Choices, ...]
    rows: tuple[Row, ...] = ()
    ties: tuple[Tie, ...] = ()
    joins: tuple[Join, ...] = ()
    response: Response = field(default_factory=Response, repr=False)
    _named: Mapping[str, Choices] = field(init=False, repr=False, compare=False)
    _later: Mapping[str, tuple[Mapping[str, Option], tuple[Join, ...]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        named = {choices.layer: choices for choices in self.choices}
        joins: dict[str, tuple[Join, ...]] = {}
        for join in self.joins:
            joins[join.later] = (*joins.get(join.later, ()), join)
        later = {name: ({o.scheme: o for o in named[name].options}, found) for name, found in joins.items()}
        object.__setattr__(self, "_named", named)
        object.__setattr__(self, "_later", later)

    def __getitem__(self, layer: str) -> Choices:
        return self._named[layer]

    def beside(self, layer: str, schemes: Mapping[str, str]) -> Choices:
        """Return the layer's choices with what each costs where layers of the same weight, or that it joins, have theirs of
        `schemes`: what it would save of theirs too."""
        choices = self[layer]
        for tie in self.ties:
            if layer in (tie.first, tie.later):
                pairs = {o: (o.scheme, schemes[tie.later]) if layer == tie.first else (schemes[tie.first], o.scheme)
                         for o in choices.options}
                options = [replace(option, bytes=option.bytes - tie.saved.get(pair, 0)) for option, pair in pairs.items()]
                choices = replace(choices, options=by_size(options))
        joins = [join for join in self.joins if layer in (join.first, join.later)]
        if joins:
            def beside(option: Option) -> Option:
                plan = {**schemes, layer: option.scheme}
                return replace(option, bytes=option.bytes - sum(join.saves(plan[join.first], plan[join.later]) for join in joins))

            choices = replace(choices, options=by_size(beside(option) for option in choices.options))
        return choices

    def settled(self, chosen: Mapping[str, Option]) -> dict[str, Option]:
        """Return `chosen` with its bytes as they are together: a weight that two layers store once is the first one's, and what
        a join saves the later one's."""
        made = dict(chosen)
        for name, (options, joins) in self._later.items():
            own = options.get(chosen[name].scheme)
            if own is not None:
                less = 0
                for join in joins:
                    less += join.saves(chosen[join.first].scheme, own.scheme)
                made[name] = Option(own.scheme, own.bytes - less, own.loss) if less else own
        for tie in self.ties:
            later = self[tie.later].option(chosen[tie.later].scheme)
            saved = tie.saved.get((chosen[tie.first].scheme, chosen[tie.later].scheme), 0)
            if later is not None:
                made[tie.later] = replace(later, bytes=later.bytes - saved)
        return made


def by_size(options: Iterable[Option]) -> tuple[Option, ...]:
    """Options in the order of `Choices`: by bytes, then loss, then name."""
    return tuple(sorted(options, key=lambda option: (option.bytes, option.loss, option.scheme)))


def allowed(
    layer: Layer,
    capabilities: Sequence[Capability],
    min_os: float | None,
    schemes: Iterable[Scheme],
    restriction: Restriction | None = None,
    always: Collection[str] = (),
) -> tuple[list[Scheme], list[Refusal]]:
    """Split `schemes` into those that `layer` may take and the rest, each with its reason, by name.

    A scheme is allowed when the target has a supported capability row for the layer's kind (or it is
    one of `always`, the target's float), the device's OS floor `min_os` holds it, the weight's shape
    fits it, and the device's `restriction` has no objection.
    """
    kept: list[Scheme] = []
    refused: list[Refusal] = []
    rows: dict[str, list[Capability]] = {}
    for row in capabilities:
        if layer.kind in row.kinds:
            rows.setdefault(row.scheme, []).append(row)
    for scheme in sorted(schemes, key=lambda s: s.name):
        reason = _objection(layer, scheme, rows.get(scheme.name, []), min_os, always)
        if reason is None and restriction is not None:
            reason = restriction(layer, scheme)
        if reason is None:
            kept.append(scheme)
        else:
            refused.append(Refusal(scheme.name, reason))
    return kept, refused


def considered(
    layer: Layer,
    schemes: Iterable[Scheme],
    refused: Iterable[Refusal],
    sizes: Mapping[str, int],
    losses: Mapping[str, float],
) -> Choices:
    """Return the choices of `layer` from its allowed `schemes`, their bytes and their predicted losses.

    A scheme without a price or with a loss that is not a finite number from 0 up joins the refused.
    BadInput when nothing is left.
    """
    options: list[Option] = []
    out = list(refused)
    for name in (scheme.name for scheme in schemes):
        reason = _unusable(sizes.get(name), losses.get(name))
        if reason is None:
            options.append(Option(name, int(sizes[name]), float(losses[name])))
        else:
            out.append(Refusal(name, reason))
    if not options:
        why = _distinct(out) or "the target offers none"
        raise BadInput(f"layer {layer.name!r} ({layer.kind}) has no usable scheme: {why}")
    return Choices(
        layer=layer.name,
        kind=layer.kind,
        options=by_size(options),
        refused=tuple(sorted(out, key=lambda r: r.scheme)),
    )


def _distinct(refused: Sequence[Refusal]) -> str:
    """Every reason once, the rarest first: what few schemes fail by is nearer to a way out than what most cannot do at all."""
    schemes: dict[str, list[str]] = {}
    for each in refused:
        schemes.setdefault(each.reason, []).append(each.scheme)
    rarest = sorted(schemes.items(), key=lambda item: len(item[1]))
    return "; ".join(f"{names[0] if len(names) == 1 else f'{len(names)} schemes'}: {reason}" for reason, names in rarest)


def _unusable(size: int | None, loss: float | None) -> str | None:
    if size is None:
        return NO_PRICE
    if loss is None:
        return "its loss was not estimated"
    if not math.isfinite(loss) or loss < 0:
        return f"its predicted loss is {loss:g}"
    return None


def _objection(
    layer: Layer, scheme: Scheme, found: Sequence[Capability], min_os: float | None, always: Collection[str]
) -> str | None:
    """Why the rows of this kind of layer and scheme do not allow it, or None."""
    if not found:
        return None if scheme.name in always else f"not measured for {layer.kind} layers on this target"
    found = _of_form(layer, found)
    if not found:
        return f"not measured for {layer.kind} layers on this target but for 1x1 ones"
    reasons = [_row_objection(layer, scheme, row, min_os) for row in found]
    if None in reasons:
        return None
    usable = [reason for reason, row in zip(reasons, found, strict=True) if row.supported]
    return (usable or reasons)[0]


def _of_form(layer: Layer, rows: Sequence[Capability]) -> Sequence[Capability]:
    """The rows that were measured on convolutions like the layer: 1x1, where any were, or others."""
    own = layer.groups == 1 and math.prod(layer.shape[2:]) == 1 and any(row.pointwise for row in rows)
    return [row for row in rows if row.pointwise == own]


def _row_objection(layer: Layer, scheme: Scheme, row: Capability, min_os: float | None) -> str | None:
    if not row.supported:
        return row.reason or f"measured as unsupported for {layer.kind} layers on this target"
    if row.min_os is not None and min_os is None:
        return f"needs OS {row.min_os:g} and the device states no OS version"
    if row.min_os is not None and min_os is not None and min_os < row.min_os:
        return f"needs OS {row.min_os:g}, the device's floor is {min_os:g}"
    if row.ungrouped and layer.groups > 1:
        return f"its kernels take one group of channels, the layer has {layer.groups}"
    for shape in _shapes(layer):
        reason = fits(scheme, shape, layer.channel_axis)
        if reason is not None:
            return f"does not divide: {reason}"
        inputs = math.prod(shape) // max(shape[layer.channel_axis], 1)
        if inputs % row.input_multiple:
            return f"{inputs} inputs per channel are not a multiple of {row.input_multiple}"
    return None


def _shapes(layer: Layer) -> list[tuple[int, ...]]:
    """The weight's shape and, for recurrent layers, the shape of the weight over the hidden state."""
    gates = _GATES.get(layer.kind)
    if gates is None or len(layer.weights) < 2:
        return [layer.shape]
    return [layer.shape, (layer.shape[0], layer.shape[0] // gates)]
