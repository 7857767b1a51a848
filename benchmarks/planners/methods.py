"""The methods: from a subject and a limit on bytes to a width per layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmarks.planners.subject import WIDTHS, Subject
from benchmarks.results_file import read

ORDER = sorted(WIDTHS, reverse=True)
Widths = dict[str, int]


def uniform(subject: Subject, size: int) -> Widths:
    """The most bits that fit, for all layers alike."""
    for bits in ORDER:
        widths = dict.fromkeys(subject.layers, bits)
        if subject.size(widths) <= size:
            return widths
    raise ValueError(f"{size}: below {ORDER[-1]} bits")


def psnr(subject: Subject, size: int) -> Widths:
    """Greedy: from 8 bits on, the next step down is always the one that leaves the highest PSNR of the model's outputs, each
    (layer, width) evaluated alone on real samples; as tools of Apple's and Google's analyse layers and search."""
    table, widths = _psnr_table(subject), dict.fromkeys(subject.layers, ORDER[0])
    while subject.size(widths) > size:
        steps = [(table[name, _next(bits)], name) for name, bits in widths.items() if bits > ORDER[-1]]
        if not steps:
            break
        name = max(steps)[1]
        widths[name] = _next(widths[name])
    return widths


def thresholds(subject: Subject, size: int) -> Widths:
    """Two widths: layers whose gradient sensitivity is above a threshold get the wide one, the threshold is the least that
    fits; of all pairs of widths the one that loses least on the samples is taken (mlx-lm's dynamic quantization)."""
    best: tuple[float, Widths] | None = None
    for low in ORDER[1:]:
        for high in [bits for bits in ORDER if bits > low]:
            widths = _above(subject, size, low, high)
            if widths is None:
                continue
            lost = subject.loss(subject.rounded(subject.whole(widths), False), subject.seen)
            if best is None or lost < best[0]:
                best = lost, widths
    if best is None:
        return uniform(subject, size)
    return best[1]


def fisher(subject: Subject, size: int) -> Widths:
    """Diagonal Fisher information times squared weight error, summed by layer and packed exactly (HAWQ-V2's score)."""
    table = _fisher_table(subject)
    scores = {name: {bits: table[name, bits] for bits in ORDER} for name in subject.layers}
    widths = _packed(subject, size, scores, {})
    if widths is None:
        raise ValueError(f"{size}: below {ORDER[-1]} bits")
    return widths


def modelopt(subject: Subject, size: int) -> Widths:
    """NVIDIA ModelOpt's own gradient scores, packed exactly; layers that it does not score are all as wide as loses least."""
    answers = _answers(subject)["modelopt"]
    scores = {name: {int(bits): score for bits, score in answers[name].items()} for name in subject.layers if name in answers}
    found = []
    for bits in ORDER:
        left = {name: bits for name in subject.layers if name not in scores}
        widths = _packed(subject, size, scores, left)
        if widths is not None:
            found.append(widths)
        if not left:
            break
    return _best(subject, found) or uniform(subject, size)


def nncf(subject: Subject, size: int) -> Widths | None:
    """NNCF's own mix of 4 and 8 bits with the largest share of 8 that fits; what it leaves alone has 8 bits. None where nothing
    fits: it keeps convolutions at 8 bits."""
    fitting = [
        widths for widths in ({name: given.get(name, 8) for name in subject.layers} for given in _answers(subject)["nncf"])
        if subject.size(widths) <= size
    ]  # fmt: skip
    return max(fitting, key=subject.size, default=None)


METHODS: dict[str, Callable[[Subject, int], Widths | None]] = {
    "uniform": uniform, "greedy PSNR": psnr, "gradient threshold": thresholds, "diagonal Fisher, exact": fisher,
    "NVIDIA ModelOpt": modelopt, "NNCF": nncf,
}  # fmt: skip


def _answers(subject: Subject) -> dict[str, Any]:
    """What `benchmarks.planners.tools` asked the tools about this example."""
    rows = {row["case"]: row for row in read("planner_tools")["rows"]}
    found: dict[str, Any] = rows[subject.case.name]
    return found


def _packed(subject: Subject, size: int, scores: dict[str, dict[int, float]], fixed: Widths) -> Widths | None:
    """Least sum of scores within `size`, exactly; None where nothing fits."""
    from sdk.planning import Choices, Infeasible, Limits, Option, Problem, solve

    base = subject.size({**dict.fromkeys(scores, ORDER[0]), **fixed}) - sum(
        subject.bytes[name][WIDTHS[ORDER[0]]] for name in scores
    )
    choices = tuple(
        Choices(name, "linear", tuple(sorted(
            (Option(WIDTHS[b], subject.bytes[name][WIDTHS[b]], s) for b, s in found.items()), key=lambda o: (o.bytes, o.loss)
        ))) for name, found in scores.items()
    )  # fmt: skip
    try:
        chosen = solve(Problem(base, choices), Limits(max_size=size), "quality").chosen
    except Infeasible:
        return None
    bits = {scheme: each for each, scheme in WIDTHS.items()}
    return {**fixed, **{name: bits[option.scheme] for name, option in chosen.items()}}


def _best(subject: Subject, found: list[Widths]) -> Widths | None:
    """The one that loses least on the samples, as it rounds."""
    if len(found) < 2:
        return found[0] if found else None
    return min(found, key=lambda widths: subject.loss(subject.rounded(subject.whole(widths), False), subject.seen))


def _next(bits: int) -> int:
    return ORDER[ORDER.index(bits) + 1]


def _above(subject: Subject, size: int, low: int, high: int) -> Widths | None:
    """The most sensitive layers at `high` bits, as many as fit; None where even all at `low` do not."""
    widths = dict.fromkeys(subject.layers, low)
    if subject.size(widths) > size:
        return None
    scores = _gradient_table(subject, low, high)
    for name in sorted(subject.layers, key=lambda each: -scores[each]):
        wider = {**widths, name: high}
        if subject.size(wider) > size:
            break
        widths = wider
    return widths


def _memo(subject: Subject, key: Any, make: Callable[[], Any]) -> Any:
    if key not in subject.tables:
        subject.tables[key] = make()
    return subject.tables[key]


def _psnr_table(subject: Subject) -> dict[tuple[str, int], float]:
    """PSNR in dB of the model's outputs with one layer at one width, everything else float."""
    import torch

    from sdk.quantize import reference

    def make() -> dict[tuple[str, int], float]:
        module = subject.bench.model.module()
        with torch.no_grad():
            wanted = [torch.cat([t.flatten().float() for t in module(*x)]) for x in subject.seen]
        peak = max(float(each.abs().max()) for each in wanted)
        found = {}
        for name in subject.layers:
            for bits in ORDER:
                schemes = {each.name: "fp32" for each in subject.bench.model.inventory.layers} | {name: WIDTHS[bits]}
                run = reference(subject.rounded(schemes, False))
                with torch.no_grad():
                    got = [torch.cat([t.flatten().float() for t in run(*x)]) for x in subject.seen]
                error = sum(float((a - b).square().mean()) for a, b in zip(wanted, got, strict=True)) / len(got)
                found[name, bits] = 20 * math.log10(peak) - 10 * math.log10(max(error, 1e-20))
        return found

    table: dict[tuple[str, int], float] = _memo(subject, "psnr", make)
    return table


def _errors(subject: Subject, name: str, bits: int) -> list[tuple[Any, Any]]:
    """Importance and error of each weight of a layer at a width, rounded to the nearest."""
    from sdk.rounding import Statistics, round_layer
    from sdk.schemes import scheme_named

    module = subject.bench.model.module()
    layer = subject.bench.model.inventory[name]
    weights = {w: module.get_parameter(w).detach() for w in layer.weights}
    grids = round_layer(layer, weights, [scheme_named(WIDTHS[bits])], Statistics())[0]
    importance = subject.bench.statistics.importance
    return [
        (importance[w], grid.dequantize() - weights[w])
        for w, grid in zip(layer.weights, grids, strict=True)
    ]


def _fisher_table(subject: Subject) -> dict[tuple[str, int], float]:
    def make() -> dict[tuple[str, int], float]:
        return {
            (name, bits): sum(0.5 * float((f * e.square()).sum()) for f, e in _errors(subject, name, bits))
            for name in subject.layers for bits in ORDER
        }  # fmt: skip

    table: dict[tuple[str, int], float] = _memo(subject, "fisher", make)
    return table


def _gradient_table(subject: Subject, low: int, high: int) -> dict[str, float]:
    """Root of the Fisher-weighted change from the wide to the narrow weights, per weight: a gradient's alignment with it."""

    def make() -> dict[str, float]:
        found = {}
        for name in subject.layers:
            pairs = zip(_errors(subject, name, low), _errors(subject, name, high), strict=True)
            amounts = [(float((f * (a - b).square()).sum()), a.numel()) for (f, a), (_, b) in pairs]
            found[name] = math.sqrt(sum(each for each, _ in amounts)) / sum(count for _, count in amounts)
        return found

    table: dict[str, float] = _memo(subject, ("gradient", low, high), make)
    return table
