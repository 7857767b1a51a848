"""Turns a probe's times into kernels: least squares of relative errors, no coefficient below zero (Lawson and Hanson, 1974).

Every artifact's time is the sum of its steps' times, and each step is linear in what it computes and moves; so all kernels of a
runtime come from one system, in which a network may hold several kinds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sdk.costs.latency import BEHIND, BORDER, CONVERT, FLOATS, borders, packed_bytes, placed
from sdk.costs.work import CALLERS, FEATURES, PADDED, ROW, Step
from sdk.devices.kernels import Kernel
from sdk.probing.artifacts import Probe

LAYERS = frozenset({"pointwise", "pointwise1d", "conv1d", "conv2d", "depthwise", "depthwise_large", "linear", ROW,
                    "conv_transpose1d", "conv_transpose2d", "lstm", "gru"})  # fmt: skip
USED: dict[str, tuple[str, ...]] = {
    "embedding": ("outputs", "calls"), "matmul": ("macs", "outputs", "inputs", "calls"),
    "scaled_dot_product_attention": ("macs", "outputs", "calls"), "mean": ("inputs", "calls"),
    "adaptive_avg_pool2d": ("inputs", "calls"), "lstm": ("macs", "outputs", "weights", "calls"),
    "gru": ("macs", "outputs", "weights", "calls"), "depthwise": ("macs", "outputs", "calls"),
    "depthwise_large": ("macs", "outputs", "calls"), PADDED: ("outputs", "calls"),
}  # fmt: skip
"""Kind → the features that its time depends on; other layers use all, other operators what they write and their calls."""
HIGH = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16)
"""Positions of the tiles that are tried."""
WIDE = tuple((wide, deep) for wide in (1, 8, 16, 32) for deep in (1, 4, 8, 16))
"""Output channels x inputs per channel of the tiles that are tried."""
ALIKE = 0.1
"""Logarithm of the median ratio of two schemes' times below which they share a kernel: a probe's own noise."""
RIDGE = 0.02
"""Weight of what pulls a coefficient towards an equal share of the time where the shapes cannot tell them apart."""

Kind = tuple[str, str]
Column = tuple[str, str, str]
Tile = tuple[int, int, int]
Tiles = Mapping[Kind, Tile]
NO_TILE: Tile = (1, 1, 1)


def fit_kernels(probes: Sequence[Probe], times: Mapping[int, float]) -> list[Kernel]:
    """Return the kernels from `times` (place of the probe → ns); kinds and schemes that no probe ran have none."""
    timed = [(probe, times[place]) for place, probe in enumerate(probes) if place in times and not _streams(probe)]
    shared = _shared(timed)
    known = [(_renamed(probe, shared), time) for probe, time in timed]
    tiles, outside = _tiles(known), _outside(known)
    found = _solve(known, tiles, outside)
    rows = sorted({column[:2] for column in found})
    kernels = {
        kind: Kernel(kind=kind[0], scheme=kind[1], tile=_tile(tiles, *kind), outside=kind in outside,
                     ns=tuple(float(f"{found.get((*kind, name), 0.0):.5g}") for name in FEATURES))  # type: ignore[arg-type]
        for kind in rows
    }  # fmt: skip
    for (kind, scheme), same in shared.items():
        kernels[kind, scheme] = kernels[kind, same].model_copy(update={"scheme": scheme})
    return [kernels[kind] for kind in sorted(kernels)]


def _shared(known: Sequence[tuple[Probe, float]]) -> dict[Kind, str]:
    """(kind, scheme) → the scheme whose kernel it shares: weights alone that a runtime unpacks to floats when it loads.

    That is seen in the times: chains of the same shapes, in float activations, take as long as in floats. One fit of all of
    them is more exact than one of each, and predicts no difference where there is none.
    """
    times: dict[tuple[str, str], dict[str, float]] = {}
    for probe, time in known:
        if _own(probe) in LAYERS and packed_bytes(probe.scheme) == 4:
            times.setdefault((_own(probe), probe.scheme), {})[probe.network] = time
    found = {}
    for (kind, scheme), mine in times.items():
        floats = times.get((kind, FLOATS), {})
        ratios = [mine[network] / floats[network] for network in mine if network in floats]
        if scheme != FLOATS and len(ratios) >= 3 and abs(math.log(statistics.median(ratios))) <= ALIKE:
            found[kind, scheme] = FLOATS
    return found


def _renamed(probe: Probe, shared: Mapping[Kind, str]) -> Probe:
    """The probe with every scheme called by the one whose kernel it shares."""
    schemes = tuple(shared.get((step.kind, each), each) for step, each in zip(probe.steps, probe.schemes, strict=True))
    return replace(probe, scheme=shared.get((_own(probe), probe.scheme), probe.scheme), schemes=schemes)


def _outside(known: Sequence[tuple[Probe, float]]) -> frozenset[Kind]:
    """The kinds and schemes whose own chains the accelerated part leaves to the runtime."""
    votes: dict[Kind, list[bool]] = {}
    for probe, _ in known:
        if _own(probe) in LAYERS:
            votes.setdefault((_own(probe), probe.scheme), []).append(probe.outside)
    return frozenset(kind for kind, said in votes.items() if sum(said) > len(said) / 2)


def _tiles(known: Sequence[tuple[Probe, float]]) -> dict[Kind, Tile]:
    """The tile of each kernel that fits its own chains best."""
    found = {}
    for kind, scheme in sorted({(_own(probe), probe.scheme) for probe, _ in known if _own(probe) in LAYERS}):
        chains = [(probe, time) for probe, time in known if (_own(probe), probe.scheme) == (kind, scheme)]
        if len(chains) >= 6:
            wide = min(((1, *wide) for wide in WIDE), key=lambda tile: _misfit(chains, {(kind, scheme): tile}))
            tiles = ((high, *wide[1:]) for high in HIGH)
            found[kind, scheme] = min(tiles, key=lambda tile: _misfit(chains, {(kind, scheme): tile}))
    return found


def _streams(probe: Probe) -> bool:
    return probe.network.startswith("stream")


def _own(probe: Probe) -> str:
    """The one kind of a chain, or nothing; what brings the caller's tensors into the runtime belongs to every chain."""
    kinds = {step.kind for step in probe.steps if step.calls and step.kind not in CALLERS}
    return kinds.pop() if len(kinds) == 1 else ""


def _misfit(chains: Sequence[tuple[Probe, float]], tiles: Tiles) -> float:
    found = _solve(chains, tiles)
    return sum((_predicted(probe, tiles, found) / time - 1) ** 2 for probe, time in chains)


def _predicted(probe: Probe, tiles: Tiles, found: Mapping[Column, float]) -> float:
    return sum(value * found.get(column, 0.0) for column, value in _row(probe, tiles, ()).items())


def _row(probe: Probe, tiles: Tiles, outside: Collection[Kind]) -> dict[Column, float]:
    """The features of an artifact: how much of each unknown it holds."""
    row: dict[Column, float] = {}
    for step, scheme in zip(placed(probe.steps, probe.schemes, outside), probe.schemes, strict=True):
        for name, value in _features(step, scheme, tiles):
            row[step.kind, scheme, name] = row.get((step.kind, scheme, name), 0.0) + value
    for kind, crossings in ((CONVERT, probe.converted), (BORDER, borders(probe.steps, probe.schemes, outside))):
        for elements in crossings:
            for name, value in (("outputs", float(elements)), ("calls", 1.0)):
                row[kind, "", name] = row.get((kind, "", name), 0.0) + value
    return row


def _tile(tiles: Tiles, kind: str, scheme: str) -> Tile:
    return tiles.get((kind.removesuffix(BEHIND), scheme), NO_TILE)


def _features(step: Step, scheme: str, tiles: Tiles) -> list[tuple[str, float]]:
    kind = step.kind.removesuffix(BEHIND)
    used = USED.get(kind, FEATURES if step.layer is not None else ("outputs", "calls"))
    values = zip(FEATURES, step.features(_tile(tiles, kind, scheme)), strict=True)
    return [(name, value) for name, value in values if name in used and value] if step.calls else []


def _solve(known: Sequence[tuple[Probe, float]], tiles: Tiles, outside: Collection[Kind] = ()) -> dict[Column, float]:
    """Return ns per unit of every unknown."""
    import numpy as np
    from scipy.optimize import nnls

    rows = [(_row(probe, tiles, outside), time) for probe, time in known]
    columns = sorted({column for row, _ in rows for column in row})
    place = {column: index for index, column in enumerate(columns)}
    left = np.zeros((len(rows), len(columns)))
    for index, (row, time) in enumerate(rows):
        for column, value in row.items():
            left[index, place[column]] = value / time
    scale = np.array([1 / np.median(column[column > 0]) for column in left.T])
    scaled = left * scale
    ridge = RIDGE * np.eye(len(columns))
    solved, _ = nnls(np.vstack([scaled, ridge]), np.concatenate([np.ones(len(rows)), np.zeros(len(columns))]))
    return dict(zip(columns, (solved * scale).tolist(), strict=True))


def fit_stream(probes: Sequence[Probe], times: Mapping[int, float]) -> tuple[tuple[int, float], ...]:
    """Return (bytes of packed weights, ns per byte) of the chains of one row each, which mostly read their weights."""
    found = []
    for place, probe in enumerate(probes):
        total = sum(step.weights for step in probe.steps) * packed_bytes(probe.scheme)
        if place in times and _streams(probe):
            found.append((int(total), float(f"{times[place] / total:.4g}")))
    return tuple(sorted(found))
