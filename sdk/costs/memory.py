"""Predicts the peak memory of a plan: file pages, packed copies of weights, activations with their lifetimes, the runtime.

All of it is counted before anything is lowered, from the model's graph, the prices of the file and the target's measured
table. The figure is the one that `sdk check` measures: what was resident at most, above what the runtime's code took before.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from sdk.costs.activations import Activations, activations
from sdk.costs.arenas import arenas, worst
from sdk.costs.caching import UPDATE, cached, held_for
from sdk.costs.heap import resident
from sdk.costs.kernels import FULL, dilated, kernel_kind, padded
from sdk.costs.outside import outside_steps
from sdk.costs.scratch import scratch, whole
from sdk.lowering import Copies, MemoryTable, Prices
from sdk.models import Layer, Model
from sdk.models.language import LEAST, Language
from sdk.schemes import Scheme, scheme_named

WINDOW = 2 << 20
"""Bytes of a mapped file that one access makes resident at most: the largest pages of a page cache."""
Amounts = dict[str, dict[str, float]]
"""Layer → scheme → bytes."""
Weights = Mapping[str, Mapping[str, tuple[int, int, int]]]
"""Layer → scheme → bytes that are packed, read of the file, and kept of these."""
Shared = Mapping[tuple[str, str], Mapping[tuple[str, str], int]]
"""Two layers of one weight → their schemes → bytes that a file stores once for both."""
STEPS = 12
"""Steps of an inference that the solver weighs: the worst ones."""
TURNED = 4
"""Bytes per weight of the transposed copy that contractions read, of which dilated convolutions make none (LiteRT, `conv.cc`)."""
FILES = 4
"""Accelerated parts whose loading the solver weighs, where each gives its pages of the file back: the worst ones."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the bytes of a peak are: file pages, packed weights, passing copies, activations, a cache of tokens, runtime.

    `file` and `passing` are what loading needs at most beyond all packed weights; `kept`: file pages that stay afterwards.
    `activations` holds what kernels outside of the accelerated parts take besides; `arena`: those of them that are there before
    anything is packed. `runtime` holds the `tables` of pointers that are made once everything is loaded.
    """

    file: int
    kept: int
    packed: int
    passing: int
    activations: int
    runtime: int
    cache: int = 0
    arena: int = 0
    tables: int = 0

    @property
    def private(self) -> int:
        """Bytes that belong to no file once it runs: what iOS counts against an app.

        The activations take the place of the passing copies: an allocator keeps what it freed for the next that asks.
        """
        return self.packed + self.cache + max(self.passing, self.activations) + self.runtime

    @property
    def peak(self) -> int:
        """Resident bytes at most: while loading, or while running."""
        loading = self.file + self.arena + self.packed + self.cache + self.passing + self.runtime - self.tables
        return max(loading, self.private + self.kept)


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes that the weight of a layer in a scheme takes: packed, while it is prepared, of the file meanwhile and afterwards.

    `outside`: whether the accelerated parts leave the layer out; `spared` is then its table of inputs, which it does not need.
    """

    outside: bool
    packed: int
    passing: int
    mapped: int
    kept: int
    spared: int


def _rise(weights: Iterable[Weight]) -> int:
    """Bytes that preparing `weights` one after the other needs at most, beyond what all of them keep."""
    total = most = 0
    for each in weights:
        total += each.packed
        most = max(most, total + each.passing)
    return max(0, most - total)


class MemoryModel:
    """The memory of one model on one target, for any plan: `schemes` maps every layer to the name of its scheme."""

    def __init__(self, model: Model, table: MemoryTable, prices: Prices, shared: Shared = MappingProxyType({})) -> None:
        """`shared`: what the file stores once; it counts twice where an accelerated part's pages are given back anyway."""
        self._model, self.table, self.prices = model, table, prices
        self._known: dict[tuple[str, str], Weight] = {}
        self._rooms: dict[tuple[frozenset[str], frozenset[str], frozenset[int]], tuple[int, int, int, int]] = {}
        self.shared: Shared = {} if table.freed else shared
        self.layers = {layer.name: layer for layer in model.inventory.layers}
        spoken = table.language if model.language is not None else None
        if spoken is not None:
            outside = (*(kind for kind in table.operators.outside if kind not in spoken.inside), UPDATE)
            operators = replace(table.operators, outside=outside, taken=(), simpler=False)
            self.table = replace(table, returned=spoken.returned, operators=operators)
            if spoken.operator is not None:
                self.table = replace(self.table, layer=spoken.operator, operator=spoken.operator)
        self.found: Activations = activations(model, spoken.working if spoken is not None else {}, self.table.operators)
        self._prefilled: frozenset[str | None] = frozenset()
        if spoken is not None and spoken.prefill and model.language is not None:
            self.found = cached(model, spoken, model.language)
            self._prefilled = frozenset(self.found.layers)
        self._fixed = spoken.fixed if spoken is not None else 0
        self._mapped = spoken is None or spoken.mapped
        rows = (*table.copies, *(spoken.copies if spoken is not None else ()))
        self._copies = {(kind, row.scheme): row for row in rows for kind in row.kinds}
        self._lookups = {layer.name: _lookups(model, layer) for layer in model.inventory.layers if layer.kind == "embedding"}
        convolutions = [layer for layer in model.inventory.layers if layer.kind in ("conv1d", "conv2d")]
        self._dilated = {layer.name for layer in convolutions if dilated(model, layer)}
        self._tables = {
            layer: round(table.indirection * count)
            for layer, count in zip(self.found.layers, self.found.indirect, strict=True)
            if layer is not None and count
        }
        self._cache = held_for(model.language, spoken) if model.language is not None and spoken is not None else 0

    def parts(self, schemes: Mapping[str, str]) -> Parts:
        """Return where the peak's bytes are."""
        named = {name: scheme_named(schemes[name]) for name in self.layers if name in schemes}
        weights = {name: self._weight(name, scheme) for name, scheme in named.items()}
        outside = [(self.layers[name], named[name]) for name, each in weights.items() if each.outside]
        working = self._heap(outside)
        spared = sum(each.spared for each in weights.values())
        room, spare, held, conversions = self._arenas(named)
        operators = self.table.operator * conversions
        outputs = spare + self._beyond(spare)
        return Parts(
            file=self._loaded(named), kept=self._kept(named),
            packed=self._with_slack(sum(each.packed for each in weights.values())),
            passing=_rise(each for each in weights.values() if not each.outside),
            activations=self._with_slack(
                room + held + max(working, _rise(each for each in weights.values() if each.outside)) + outputs
            ),
            runtime=self._private() + operators - spared, cache=self._cache, arena=self._early(held),
            tables=self._pointers() - spared,
        )  # fmt: skip

    def _early(self, held: int) -> int:
        """Bytes of the runtime's own arena, where it is there before anything is packed: ExecuTorch's is."""
        return self._with_slack(held) if self.table.freed else 0

    def context(self, spare: float) -> int | None:
        """Return the longest context of a language model that takes `spare` bytes less than its own; None where none does."""
        language = self._model.language
        assert language is not None
        shorter, now = range(LEAST, language.context), self._of_context(language)
        found = bisect_right(shorter, -spare, key=lambda tokens: self._of_context(replace(language, context=tokens)) - now)
        return shorter[found - 1] if found else None

    def _of_context(self, language: Language) -> float:
        """Bytes that grow with the context, in a plan of floats."""
        spoken = self.table.language
        assert spoken is not None
        if not spoken.prefill:
            return held_for(language, spoken)
        found = cached(self._model, spoken, language)
        rooms = arenas(found, (), (), outside_steps(found, (), self.table.operators.outside), self.table.operators)
        return held_for(language, spoken) + self._with_slack(sum(rooms))

    def _heap(self, layers: Sequence[tuple[Layer, Scheme]]) -> int:
        """Bytes of the heap that kernels outside take while they run: weights are unpacked at the first run, products at each."""
        unpacked = [(whole(passing),) for layer, scheme in layers if (passing := self.passing(layer, scheme))]
        run = [scratch(each, self._row(each, scheme).scratch, each.name in self._dilated) for each, scheme in layers]
        return resident([*run, *run], unpacked) if any(run) else 0

    def _loaded(self, schemes: Mapping[str, Scheme]) -> int:
        """File pages that loading needs at most, beyond all packed weights: of the whole file, or of one part after the other."""
        kept = self._kept(schemes)
        total = most = 0
        for part, others in self._delegates(schemes):
            weights = [self._weight(name, schemes[name]) for name in part]
            pages = sum(each.mapped for each in weights)
            total += sum(each.packed for each in weights)
            most = max(most, total + pages + others)
        return kept + max(0, most - total)

    def _kept(self, schemes: Mapping[str, Scheme]) -> int:
        """File pages that stay resident once everything is loaded."""
        kept = self.prices.base + sum(self._weight(name, scheme).kept for name, scheme in schemes.items())
        pairs = {pair: (schemes[pair[0]].name, schemes[pair[1]].name) for pair in self.shared if schemes.keys() >= set(pair)}
        return kept - sum(self.shared[pair].get(names, 0) for pair, names in pairs.items())

    def _delegates(self, schemes: Mapping[str, Scheme]) -> list[tuple[list[str], int]]:
        """The layers whose pages of the file are given back, by the accelerated part that they are in, and other pages of it."""
        if not self.table.freed:
            return []
        outside = self._outside(schemes)
        places = self.found.parts(outside)
        parts = dict(zip(self.found.layers, places, strict=True))
        found: dict[tuple[int, int], list[str]] = {}
        for number, (name, scheme) in enumerate(schemes.items()):
            row = self._row(self.layers[name], scheme)
            if row.cell or not row.outside:
                found.setdefault((parts[name], number + 1 if row.cell else 0), []).append(name)
        others = dict.fromkeys(found, 0)
        for step, count in enumerate(self.found.constants):
            if step not in outside and self.found.layers[step] is None and (places[step], 0) in others:
                others[places[step], 0] += count * self.table.page
        return [(found[place], others[place]) for place in sorted(found)]

    def file(self, layer: Layer, scheme: Scheme) -> int:
        """Bytes of the layer in the file that are ever read: all, or the rows that the example looks up."""
        stored = self.prices.layers[layer.name][scheme.name]
        if not self._row(layer, scheme).rows or not self._mapped:
            return stored
        rows = layer.shape[0]
        windows = {int(row * stored / rows) // WINDOW for row in self._lookups[layer.name]}
        return min(stored, len(windows) * WINDOW)

    def mapped(self, layer: Layer, scheme: Scheme) -> int:
        """Bytes of the file that are resident while the layer is packed: weights, scales and biases, each in whole pages.

        Of a recurrent layer that is several accelerated parts one weight is, of the mean size.
        """
        row = self._row(layer, scheme)
        if row.cell:
            return self.file(layer, scheme) // len(layer.weights)
        scales = scheme.format != "float" and scheme.granularity != "tensor"
        constants = layer.uses * (len(layer.weights) + (layer.bias is not None) + scales)
        return self.file(layer, scheme) + (0 if row.outside else constants * self.table.page)

    def kept(self, layer: Layer, scheme: Scheme) -> int:
        """Those of them that stay resident once everything is loaded; what loops read is packed by accelerated parts."""
        row = self._row(layer, scheme)
        stays = not self.table.freed or (row.outside and not row.cell)
        return self.file(layer, scheme) if stays else 0

    def packed(self, layer: Layer, scheme: Scheme) -> int:
        """Private bytes that the layer's weight takes while the artifact is loaded: each operator that reads it packs its own."""
        row = self._row(layer, scheme)
        inputs = layer.parameters // layer.shape[layer.channel_axis]
        scales = layer.shape[layer.channel_axis] * (inputs // scheme.group if scheme.granularity == "group" else 1)
        looped = row.loop * (1 + len(layer.weights) // 2) + row.cell * (len(layer.weights) // 2)
        readers = 1 if layer.kind == "embedding" else layer.uses + (layer.name in self._prefilled)
        spared = TURNED if row.scratch == "contraction" and layer.name in self._dilated else 0
        channels = row.channel * layer.shape[layer.channel_axis]
        return readers * round((row.packed - spared) * padded(layer, row.deep) + looped + row.scale * scales + channels)

    def passing(self, layer: Layer, scheme: Scheme) -> int:
        """Private bytes that exist while the layer is prepared only."""
        return round(self._row(layer, scheme).passing * layer.parameters)

    def _arenas(self, schemes: Mapping[str, Scheme]) -> tuple[int, int, int, int]:
        """Bytes of the activations inside the accelerated parts, of what that room leaves free (where the outputs go that the
        caller holds), and of those outside; how many operators convert between floats and 8 bits."""
        static, dynamic = map(frozenset, self._eight_bit(schemes))
        key = static, dynamic, self._outside(schemes)
        if key not in self._rooms:
            rooms = arenas(self.found, *key, self.table.operators)
            self._rooms[key] = *rooms, self.found.conversions(static, dynamic)
        return self._rooms[key]

    def _beyond(self, spare: int) -> int:
        """Bytes of the outputs that the caller holds beyond what rooms leave free; logits are too large for that place."""
        held = self.table.returned * self.found.outputs
        return held if self._model.language is not None else max(0, held - spare)

    @staticmethod
    def _eight_bit(schemes: Mapping[str, Scheme]) -> tuple[set[str], set[str]]:
        """The layers that compute with static, and with dynamic 8-bit activations."""
        modes = ("static", "dynamic")
        static, dynamic = ({name for name, scheme in schemes.items() if scheme.activations == mode} for mode in modes)
        return static, dynamic

    def moments(self, choices: Mapping[str, Sequence[str]]) -> list[tuple[str, float, dict[str, dict[str, float]]]]:
        """Return the peak as sums over layers: while loading, and at each step of running that could be the worst.

        Each is (name, base, amounts by layer and scheme). What two layers save together by passing 8 bits on is split between
        them; what is no sum is left out (a layer outside of the accelerated parts, the largest passing copy): `parts` counts
        it.
        """
        weights = {name: {each: self._weights(name, each) for each in schemes} for name, schemes in choices.items()}
        base = float(self._private() + self.prices.base + self._cache)
        _, spare, early, _ = self._arenas({})
        loading = base + self._early(early) - self._pointers()
        found = [(moment, loading + others, amounts) for moment, others, amounts in self._loading(choices, weights)]
        base += self._with_slack(self._beyond(spare))
        for step, held, savings in worst(self.found, self._outside({}), STEPS, self.table.operators):
            running = {
                name: {s: packed + kept - self._freed(name, s, savings.get(name, 0.0)) for s, (packed, _, kept) in each.items()}
                for name, each in weights.items()
            }
            found.append((f"running, step {step}", base + self._with_slack(held), running))
        return found

    def _loading(self, choices: Mapping[str, Sequence[str]], weights: Weights) -> list[tuple[str, int, Amounts]]:
        """The sums while loading, and what is no layer's: all at once, or at each accelerated part that could be the worst."""
        parts = self._delegates({name: scheme_named(schemes[0]) for name, schemes in choices.items()})
        if not parts:
            whole = {name: {s: float(packed + file) for s, (packed, file, _) in each.items()} for name, each in weights.items()}
            return [("loading", 0, whole)]
        sizes = [sum(self.layers[name].parameters for name in part) for part, _ in parts]
        order = sorted(range(len(parts)), key=lambda place: (-sizes[place] - sum(sizes[:place]), place))[:FILES]
        place = {name: number for number, (part, _) in enumerate(parts) for name in part}
        found = []
        for number in order:
            amounts: Amounts = {}
            for name, each in weights.items():
                now, before = place.get(name, number) == number, place.get(name, 0) <= number
                amounts[name] = {s: float(packed * before + (file if now else kept)) for s, (packed, file, kept) in each.items()}
            found.append((f"loading, part {number}", parts[number][1], amounts))
        return found

    def _weights(self, name: str, scheme: str) -> tuple[int, int, int]:
        found = self._weight(name, scheme_named(scheme))
        return self._with_slack(found.packed), found.mapped, found.kept

    def _with_slack(self, private: float) -> int:
        return round(private * (1 + self.table.slack))

    def _freed(self, name: str, scheme: str, saving: float) -> float:
        """Bytes that a layer frees while it runs: `saving` of activations in 8 bits, and its table of pointers outside."""
        named = scheme_named(scheme)
        return saving * (1 + self.table.slack) * (named.activations == "static") + self._weight(name, named).spared

    def _private(self) -> int:
        plain, weighted = self.found.operators - self.found.weighted, self.found.weighted
        return self.table.fixed + self._fixed + self.table.layer * weighted + self.table.operator * plain + self._pointers()

    def _pointers(self) -> int:
        return round(self.table.indirection * self.found.pointers)

    def _weight(self, name: str, scheme: Scheme) -> Weight:
        """What a layer's weight takes, computed once: a search predicts hundreds of plans of the same layers."""
        found = self._known.get((name, scheme.name))
        if found is None:
            layer = self.layers[name]
            row = self._row(layer, scheme)
            found = self._known[name, scheme.name] = Weight(
                row.outside, self.packed(layer, scheme), self.passing(layer, scheme), self.mapped(layer, scheme),
                self.kept(layer, scheme), self._tables.get(name, 0) if row.outside else 0,
            )
        return found

    def _outside(self, schemes: Mapping[str, Scheme]) -> frozenset[int]:
        layers = {name for name, scheme in schemes.items() if self._weight(name, scheme).outside}
        return outside_steps(self.found, layers, self.table.operators.outside, self.table.operators.taken)

    def _row(self, layer: Layer, scheme: Scheme) -> Copies:
        kind = kernel_kind(layer)
        found = self._copies.get((kind, scheme.name))
        if found is not None and found.outside and layer.kind in ("conv1d", "conv2d") and layer.shape[1] == layer.groups == 1:
            kind = "depthwise_large" if math.prod(layer.shape[2:]) > FULL else "depthwise"  # as the converter writes it
            found = self._copies.get((kind, scheme.name), found)
        if found is not None:
            return found
        return Copies((kind,), scheme.name, packed=4.0, passing=4.0)  # unmeasured: never less than two float copies


def _lookups(model: Model, layer: Layer) -> list[int]:
    """The rows that the model's example looks up; where they are computed, evenly spread ones."""
    node = next(n for n in model.program.graph.nodes if n.name == layer.fused[0])
    index = node.args[1]
    names = list(model.program.graph_signature.user_inputs)
    if index.name in names:
        return sorted({int(row) for row in model.example[names.index(index.name)].flatten()})
    count = math.prod(index.meta["val"].shape)
    return [row * layer.shape[0] // count for row in range(count)]
