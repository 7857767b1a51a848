"""A language model prepared for all methods: ExecuTorch's own schemes, their bytes, and both roundings of every weight."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.language import CONTEXT, HELD_OUT, _held, _news
from benchmarks.measures import divergence

DEVICE, TARGET = "pixel8", "executorch"
LARGEST = 145_000_000
SEEN = 2
"""Calibration windows on which methods evaluate whole models."""

Schemes = dict[str, str]


@dataclass
class LanguageSubject:
    """`path`: a GGUF. Everybody chooses among the options of `problem` and has the same grids, which are in `folder`.

    `turned`: in the basis that the SDK gives the model, else in the one that it came in.
    """

    path: str
    turned: bool = True
    folder: TemporaryDirectory[str] = field(default_factory=TemporaryDirectory, repr=False)
    tables: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What methods computed once for all sizes."""

    @cached_property
    def request(self) -> Any:
        from sdk.pipeline import Request

        news = _news()[HELD_OUT:]
        return Request(model=self.path, device=DEVICE, target=TARGET, context=CONTEXT, calibration=news, max_size=LARGEST)

    @cached_property
    def planned(self) -> Any:
        """The SDK's plan at the largest size."""
        from sdk.pipeline import Workbench, make_plan
        from sdk.progress import SilentReporter

        report = SilentReporter()
        return make_plan(self.request, report, Workbench(self.request, report))

    @cached_property
    def problem(self) -> Any:
        """Every option of every layer; bytes do not depend on the basis, which is one more layer where it is turned."""
        if self.turned:
            return self.planned.problem
        problem = self.planned.problem
        del self.planned  # its model takes memory
        held = {layer.name for layer in self.bench.model.inventory.layers}
        return replace(problem, choices=tuple(each for each in problem.choices if each.layer in held))

    @cached_property
    def bench(self) -> Any:
        """Model and statistics."""
        from sdk.pipeline import Workbench
        from sdk.progress import SilentReporter

        if self.turned:
            return self.planned.workbench
        return Workbench(replace(self.request, uniform="fp32", max_size=None), SilentReporter())

    def plan(self, size: int) -> Schemes:
        """Return what the SDK chooses within `size`."""
        from sdk.progress import SilentReporter

        chooser = replace(self.planned.chooser, request=replace(self.request, max_size=size))
        return dict(chooser.choose(SilentReporter()).schemes)

    def size(self, schemes: Mapping[str, str]) -> int:
        """Bytes of the finished file."""
        found = self.solved(sys.maxsize, lambda layer, scheme: 0.0 if schemes[layer] == scheme else None)
        assert found is not None
        return found[1]

    def solved(self, size: int, score: Callable[[str, str], float | None]) -> tuple[Schemes, int] | None:
        """Least sum of `score` of (layer, scheme) within `size`, and its bytes; None forbids a scheme. None: nothing fits."""
        from sdk.planning import Choices, Infeasible, Limits, Option, Problem, solve

        problem, narrow = self.problem, []
        for each in problem.choices:
            found = [(o, score(each.layer, o.scheme)) for o in each.options]
            kept = [Option(o.scheme, o.bytes, value) for o, value in found if value is not None]
            narrow.append(Choices(each.layer, each.kind, tuple(sorted(kept, key=lambda o: (o.bytes, o.loss, o.scheme)))))
        try:
            solution = solve(Problem(problem.base, tuple(narrow), (), problem.ties), Limits(max_size=size), "quality")
        except Infeasible:
            return None
        return {name: option.scheme for name, option in solution.chosen.items()}, solution.bytes

    def grid(self, layer: str, scheme: str, fed_back: bool) -> Any:
        """The layer's weight on a scheme: nearest codes, or with the SDK's error feedback. Rounded once for all."""
        import torch

        from sdk.rounding import Statistics, round_layer, settle
        from sdk.schemes import scheme_named
        from sdk.sensitivity.errors import grid_key

        chosen = scheme_named(scheme)
        file = Path(self.folder.name) / "-".join(map(str, (layer, *grid_key(chosen), fed_back)))
        if not file.exists():
            planned, module = self.bench.model.inventory[layer], self._module
            weights = {name: module.get_parameter(name) for name in planned.weights}
            known = self.bench.statistics if fed_back else Statistics()
            torch.save(round_layer(planned, weights, [chosen], known, settle)[0], file)
        return tuple(replace(each, scheme=chosen) for each in torch.load(file, weights_only=False))

    def loss(self, schemes: Mapping[str, str], fed_back: bool, seen: bool = False) -> float:
        """KL per token on unseen windows, or on SEEN of the calibration's; measured once for all."""
        key = ("loss", tuple(schemes.items()), fed_back, seen)
        if key not in self.tables:
            self.tables[key] = self._loss(schemes, fed_back, seen)
        return float(self.tables[key])

    def _loss(self, schemes: Mapping[str, str], fed_back: bool, seen: bool) -> float:
        import torch

        from sdk.lowering import Quantized
        from sdk.quantize import reference
        from sdk.quantize.tied import tie
        from sdk.schemes import scheme_named

        named = {name: scheme_named(scheme) for name, scheme in schemes.items()}
        grids = {name: self.grid(name, scheme, fed_back) for name, scheme in schemes.items()}
        run = reference(tie(Quantized(self.bench.model, named, grids, {})))
        windows, wanted = self.seen if seen else self.unseen
        with torch.no_grad():
            lost = [
                float(divergence(want[0].astype("float64"), run(tokens)[0][0].double().numpy()).mean())
                for tokens, want in zip(windows, wanted, strict=True)
            ]
        return sum(lost) / len(lost)

    @cached_property
    def unseen(self) -> tuple[list[Any], list[Any]]:
        """Held-out windows of news, and the float model's logits."""
        return _held(self.path)

    @cached_property
    def seen(self) -> tuple[list[Any], list[Any]]:
        import torch

        windows = [inputs[0] for inputs in self.bench.samples.some(SEEN)]
        with torch.no_grad():
            return windows, [self._module(tokens)[0].numpy() for tokens in windows]

    @cached_property
    def _module(self) -> Any:
        return self.bench.model.module()

    @cached_property
    def tied(self) -> frozenset[str]:
        """The embedding and the head."""
        return frozenset(name for tie in self.problem.ties for name in (tie.first, tie.later))
