"""Predicts the latency of a plan: the sum of its kernels' times, of conversions to and from 8 bits, and of streamed weights.

A kernel's time is linear in what it computes and moves (see `FEATURES`), with coefficients measured on the device by a probe;
a layer never takes less than reading its weights does once they no longer fit the caches (Williams et al., Roofline, 2009).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

from sdk.costs.activations import activations
from sdk.costs.decoding import token_steps
from sdk.costs.work import CALLERS, PADDED, PASSED, ROW, Step, steps_of
from sdk.devices import Kernel, Kernels
from sdk.lowering import Speaking
from sdk.models import Model
from sdk.schemes import scheme_named

CONVERT = "convert"
"""Kind of the kernel that converts floats to 8 bits or back."""
FLOATS = "fp32"
"""Scheme of a layer in floats, whose kernel stands in for others."""
BORDER = "border"
"""Kind of what it costs that one step runs in the runtime's accelerated part and the next outside of it, or the reverse."""
BEHIND = " behind"
"""Ends the kind of a kernel outside that runs right behind a layer with dynamic 8-bit activations in the accelerated part: it may
take longer there. On x86 with AVX-512 LiteRT's depthwise kernel takes three times as long as behind a layer in floats."""
OTHER = "add"
"""Kind whose time stands for operators that no probe has measured."""


class KernelTimes:
    """Looks the time of a step up, in ns."""

    def __init__(self, kernels: Kernels) -> None:
        self.kernels = kernels
        self._taken: dict[tuple[Step, str], tuple[float, float, float]] = {}
        self._rows: dict[tuple[str, str], Kernel] = {(row.kind, row.scheme): row for row in kernels.rows}
        self.outside = {kind for kind, row in self._rows.items() if row.outside}

    def step(self, step: Step, scheme: str, streamed: float = 0.0) -> float:
        """Return the ns of one step in a scheme (empty: an operator); `streamed`: ns per byte that weights are read in.

        Reading hides behind computing, or the reverse, but neither behind what a call costs.
        """
        if (step, scheme) not in self._taken:  # a search predicts hundreds of plans of the same steps
            row = self._rows.get((step.kind, scheme)) or self._row(step, scheme)
            read = step.weights * packed_bytes(scheme)
            kernel = sum(map(float.__mul__, row.ns, step.features(row.tile))) if row is not None else 0.0
            # an operator packs what it reads
            apart = row.ns[4] * step.calls if row is not None and step.layer is not None else kernel
            self._taken[step, scheme] = (kernel, apart, read) if row is not None and step.calls else (0.0, 0.0, 0.0)
        taken, apart, read = self._taken[step, scheme]
        return max(taken, apart + streamed * read)

    def convert(self, elements: int) -> float:
        """Return the ns of converting so many elements."""
        return self._crossing(CONVERT, elements)

    def borders(self, steps: Sequence[Step], schemes: Sequence[str]) -> float:
        """Return the ns of all borders of the accelerated part; `schemes`: of each step (empty: an operator)."""
        return sum(self._crossing(BORDER, elements) for elements in borders(steps, schemes, self.outside))

    def _crossing(self, kind: str, elements: int) -> float:
        row = self._rows.get((kind, ""))
        return row.ns[1] * elements + row.ns[4] if row is not None else 0.0

    def streamed(self, total: float) -> float:
        """Return the ns per byte of weights in a model that packs `total` bytes of them."""
        points = self.kernels.stream
        if not points:
            return 0.0
        if total <= points[0][0]:
            return points[0][1]
        for (low, slow), (high, slower) in itertools.pairwise(points):
            if total <= high:
                return slow + (slower - slow) * math.log(total / low) / math.log(high / low)
        return points[-1][1]

    def _row(self, step: Step, scheme: str) -> Kernel | None:
        """The row that stands in for one that was not measured: the kind's in floats, a plain kind's, an operator's."""
        own = step.kind.removesuffix(BEHIND)
        for kind in (own, _PLAIN.get(own, OTHER if not scheme else "")):
            for name in (scheme, FLOATS):
                if (kind, name) in self._rows:
                    return self._rows[kind, name]
        return None


_PLAIN = {
    ROW: "linear", "pointwise": "conv2d", "pointwise1d": "pointwise", "conv1d": "conv2d", "depthwise_large": "depthwise",
    "conv_transpose1d": "conv_transpose2d", "conv_transpose2d": "conv2d", PASSED: PASSED,
}  # fmt: skip
"""Kind → the kind whose kernels are most like its own; its own where nothing stands in."""


def placed(steps: Sequence[Step], schemes: Sequence[str], outside: Collection[tuple[str, str]]) -> Iterator[Step]:
    """Yield the steps, the kind of those BEHIND such a layer so called."""
    behind = False
    for step, scheme in zip(steps, schemes, strict=True):
        if not step.calls or step.kind in (*CALLERS, PADDED):
            yield step
            continue
        apart = (step.kind, scheme) in outside
        yield _behind(step) if apart and behind else step
        behind = not apart and bool(scheme) and scheme_named(scheme).activations == "dynamic"


@cache
def _behind(step: Step) -> Step:
    return replace(step, kind=step.kind + BEHIND)


def borders(steps: Sequence[Step], schemes: Sequence[str], outside: Collection[tuple[str, str]]) -> list[int]:
    """Return the elements that cross each border: between neighbours of which one kernel (kind, scheme) is in `outside`."""
    run = [
        (step, (step.kind, scheme) in outside)
        for step, scheme in zip(steps, schemes, strict=True) if step.calls and step.kind not in CALLERS
    ]
    return [step.outputs for (step, there), (_, next_there) in itertools.pairwise(run) if there != next_there]


def packed_bytes(scheme: str) -> float:
    """Bytes that a kernel reads per weight: integers as they are where activations are integers too, else floats.

    Floats too for an operator (no scheme), whose weights are what it reads of a cache.
    """
    if not scheme:
        return 4.0
    named = scheme_named(scheme)
    return 4.0 if named.format != "int" or named.activations == "float" else named.bits / 8


class LatencyModel:
    """The latency of one model on a probed device, for any plan: `schemes` maps every layer to the name of its scheme.

    `spoken`: how the runtime executes language models; theirs is the latency of one token behind a full context.
    """

    def __init__(self, model: Model, kernels: Kernels, spoken: Speaking | None = None) -> None:
        self.times = KernelTimes(kernels)
        self.what = "one inference" if spoken is None else "one token"
        self.steps = steps_of(model) if spoken is None else token_steps(model, spoken)
        self.found = activations(model)
        self._converted: dict[frozenset[str], float] = {}
        self._weights = {layer.name: layer.parameters for layer in model.inventory.layers if layer.kind != "embedding"}
        self._cache = packed_bytes("") * sum(step.weights for step in self.steps if step.layer is None)

    def median(self, schemes: Mapping[str, str]) -> float:
        """Return the median latency in ms."""
        packed = sum(n * packed_bytes(schemes[name]) for name, n in self._weights.items())
        streamed = self.times.streamed(packed + self._cache)
        each = [schemes[step.layer] if step.layer else "" for step in self.steps]
        run = placed(self.steps, each, self.times.outside)
        steps = sum(self.times.step(step, scheme, streamed) for step, scheme in zip(run, each, strict=True))
        static = frozenset(name for name, scheme in schemes.items() if scheme_named(scheme).activations == "static")
        if static not in self._converted:
            self._converted[static] = sum(self.conversions(static))
        return (steps + self._converted[static] + self.times.borders(self.steps, each)) / 1e6

    def p90(self, schemes: Mapping[str, str]) -> float:
        """Return the 90th percentile of the latency in ms, which budgets limit."""
        return self.median(schemes) * self.times.kernels.tail

    def conversions(self, static: Collection[str]) -> list[float]:
        """Return the ns of every conversion to or from 8 bits."""
        return [
            self.times.convert(tensor.bytes // 4)
            for tensor in self.found.tensors for _ in self.found.copies(tensor, static, ()) or ()
        ]

    def amounts(self, choices: Mapping[str, Sequence[str]]) -> tuple[float, dict[str, dict[str, float]]]:
        """Return the p90 as a sum: (ms of what is no layer's, ms by layer and scheme).

        Conversions and borders between two layers count for neither: a plan may avoid them. So the sum is never more than the
        prediction.
        """
        least = sum(n * min(map(packed_bytes, choices[name])) for name, n in self._weights.items())
        streamed, scale = self.times.streamed(least + self._cache), self.times.kernels.tail / 1e6
        amounts = {name: dict.fromkeys(schemes, 0.0) for name, schemes in choices.items()}
        base = 0.0
        for step in self.steps:
            if step.layer is None:
                base += scale * self.times.step(step, "", streamed)
                continue
            for scheme in amounts[step.layer]:
                amounts[step.layer][scheme] += scale * self.times.step(step, scheme, streamed)
        for name, always in self._always().items():
            for scheme in amounts[name]:
                if scheme_named(scheme).activations == "static":
                    amounts[name][scheme] += scale * always
        return base, amounts

    def _always(self) -> dict[str, float]:
        """Layer → ns of the conversions that it makes in 8 bits whatever the others do."""
        found = dict.fromkeys(self._weights, 0.0)
        for tensor in self.found.tensors:
            if tensor.maker is not None and not tensor.others:
                continue
            touching = [name for name in (tensor.maker, *sorted(tensor.layers)) if name is not None and name in found]
            for name in dict.fromkeys(touching):
                copies = self.found.copies(tensor, {name}, ()) or ()
                found[name] += len(copies) * self.times.convert(tensor.bytes // 4)
        return found
