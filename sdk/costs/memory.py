"""Predicts the peak memory of a plan: file pages, packed copies of weights, activations with their lifetimes, the runtime.

All of it is counted before anything is lowered, from the model's graph, the prices of the file and the target's measured
table. The figure is the one that `sdk check` measures: what was resident at most, above what the runtime's code took before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sdk.costs.activations import Activations, activations, outside_steps
from sdk.lowering import Copies, MemoryTable, Prices
from sdk.models import Layer, Model
from sdk.schemes import Scheme, scheme_named

WINDOW = 2 << 20
"""Bytes of a mapped file that one access makes resident at most: the largest pages of a page cache."""
STEPS = 12
"""Steps of an inference that the solver weighs: the worst ones."""
RETURNED = 2
"""Copies of the outputs that the caller holds while it measures: those of the last run, and of the one before."""



@dataclass(frozen=True, slots=True)
class Parts:
    """Where the bytes of a peak are: file pages, packed weights, passing copies of loading, activations, runtime.

    `code` is that part of `runtime` which is pages of its libraries.
    """

    file: int
    packed: int
    passing: int
    activations: int
    runtime: int
    code: int
    freed: bool

    @property
    def private(self) -> int:
        """Bytes that belong to no file once it runs: what iOS counts against an app."""
        return self.packed + self.activations + self.runtime - self.code

    @property
    def peak(self) -> int:
        """Resident bytes at most: while loading, or while running."""
        loading = self.file + self.packed + self.passing + self.runtime
        return max(loading, self.private + self.code + (0 if self.freed else self.file))


class MemoryModel:
    """The memory of one model on one target, for any plan: `schemes` maps every layer to the name of its scheme."""

    def __init__(self, model: Model, table: MemoryTable, prices: Prices) -> None:
        self.table, self.prices = table, prices
        self.layers = {layer.name: layer for layer in model.inventory.layers}
        self.found: Activations = activations(model)
        self._copies = {(kind, row.scheme): row for row in table.copies for kind in row.kinds}
        self._lookups = {layer.name: _lookups(model, layer) for layer in model.inventory.layers if layer.kind == "embedding"}

    def parts(self, schemes: Mapping[str, str]) -> Parts:
        """Return where the peak's bytes are."""
        named = {name: scheme_named(scheme) for name, scheme in schemes.items()}
        layers = [(self.layers[name], scheme) for name, scheme in named.items()]
        return Parts(
            file=self.prices.base + sum(self.file(layer, scheme) for layer, scheme in layers),
            packed=self._with_slack(sum(self.packed(layer, scheme) for layer, scheme in layers)),
            passing=sum(self.passing(layer, scheme) for layer, scheme in layers),
            activations=self._with_slack(self.arena(named) + RETURNED * self.found.outputs),
            runtime=self._runtime() + self.table.operator * self.found.conversions(*self._eight_bit(named)),
            code=self.table.code,
            freed=self.table.freed,
        )  # fmt: skip

    def file(self, layer: Layer, scheme: Scheme) -> int:
        """Bytes of the layer in the file that are ever read: all, or the rows that the example looks up."""
        stored = self.prices.layers[layer.name][scheme.name]
        if not self._row(layer, scheme).rows:
            return stored
        rows = layer.shape[0]
        windows = {int(row * stored / rows) // WINDOW for row in self._lookups[layer.name]}
        return min(stored, len(windows) * WINDOW)

    def packed(self, layer: Layer, scheme: Scheme) -> int:
        """Private bytes that the layer's weight takes while the artifact is loaded."""
        row = self._row(layer, scheme)
        inputs = layer.parameters // layer.shape[layer.channel_axis]
        scales = layer.shape[layer.channel_axis] * (inputs // scheme.group if scheme.granularity == "group" else 1)
        return round(row.packed * layer.parameters + row.scale * scales)

    def passing(self, layer: Layer, scheme: Scheme) -> int:
        """Private bytes that exist while the layer is loaded only."""
        return round(self._row(layer, scheme).passing * layer.parameters)

    def arena(self, schemes: Mapping[str, Scheme]) -> int:
        """Bytes of the activations: those inside the accelerated parts and those outside have an arena each."""
        outside = {name for name, scheme in schemes.items() if self._row(self.layers[name], scheme).outside}
        steps = outside_steps(self.found, outside, self.table.outside)
        return sum(max(live, default=0) for live in self.found.live(*self._eight_bit(schemes), steps))

    @staticmethod
    def _eight_bit(schemes: Mapping[str, Scheme]) -> tuple[set[str], set[str]]:
        """The layers that compute with static, and with dynamic 8-bit activations."""
        modes = ("static", "dynamic")
        static, dynamic = ({name for name, scheme in schemes.items() if scheme.activations == mode} for mode in modes)
        return static, dynamic

    def moments(self, choices: Mapping[str, Sequence[str]]) -> list[tuple[str, float, dict[str, dict[str, float]]]]:
        """Return the peak as sums over layers: while loading, and at each step of running that could be the worst.

        Each is (name, base, amounts by layer and scheme). What two layers save together by passing 8 bits on is split between
        them; what a layer costs by leaving the accelerated part is left out: `parts` counts both.
        """
        weights = {name: {each: self._weights(name, each) for each in schemes} for name, schemes in choices.items()}
        base, stays = float(self._runtime()), 0 if self.table.freed else 1
        loading = {name: {s: float(sum(parts)) for s, parts in each.items()} for name, each in weights.items()}
        found = [("loading", base + self.prices.base, loading)]
        base += stays * self.prices.base + self._with_slack(RETURNED * self.found.outputs)
        for step, held, savings in self.found.worst(outside_steps(self.found, (), self.table.outside), STEPS):
            running = {
                name: {s: packed + stays * file - self._saved(s, savings.get(name, 0.0)) for s, (file, packed, _) in each.items()}
                for name, each in weights.items()
            }
            found.append((f"running, step {step}", base + self._with_slack(held), running))
        return found

    def _weights(self, name: str, scheme: str) -> tuple[int, int, int]:
        layer, named = self.layers[name], scheme_named(scheme)
        return self.file(layer, named), self._with_slack(self.packed(layer, named)), self.passing(layer, named)

    def _with_slack(self, private: float) -> int:
        return round(private * (1 + self.table.slack))

    def _saved(self, scheme: str, saving: float) -> float:
        return saving * (1 + self.table.slack) if scheme_named(scheme).activations == "static" else 0.0

    def _runtime(self) -> int:
        pointers = round(self.table.indirection * self.found.pointers)
        return self.table.code + self.table.fixed + self.table.operator * self.found.operators + pointers

    def _row(self, layer: Layer, scheme: Scheme) -> Copies:
        kind = kernel_kind(layer)
        found = self._copies.get((kind, scheme.name))
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


def kernel_kind(layer: Layer) -> str:
    """Name the kernels of a layer: its kind, or what is packed in another way.

    `pointwise` and `pointwise1d` are convolutions of one element; `depthwise_large` has more elements than XNNPACK's depthwise
    kernels take (25), so that a general kernel pads each channel to a whole tile.
    """
    if layer.kind == "depthwise" and math.prod(layer.shape[2:]) > 25:
        return "depthwise_large"
    pointwise = layer.kind in ("conv1d", "conv2d") and math.prod(layer.shape[2:]) == 1
    return {"conv1d": "pointwise1d", "conv2d": "pointwise"}[layer.kind] if pointwise else layer.kind

