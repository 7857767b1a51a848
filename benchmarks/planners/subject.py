"""One example prepared for all methods: the same float model, samples, widths, bytes and unseen inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from benchmarks.cases import Case

DEVICE, TARGET, MIN_OS = "iphone15pro", "coreml", 18.0
WIDTHS = {8: "lut8", 6: "lut6", 4: "lut4", 3: "lut3", 2: "lut2"}
SEEN = 8
"""Calibration samples on which methods evaluate whole models."""


@dataclass
class Subject:
    """`bench` holds model, samples and statistics; layers that take no palette stay float16 for every method."""

    case: Case
    bench: Any = field(repr=False)
    tables: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What methods computed once for all sizes."""
    outputs: dict[int, Any] = field(default_factory=dict, repr=False)
    """Inputs by identity, each with the float model's outputs."""

    @cached_property
    def layers(self) -> list[str]:
        """Layers whose width is chosen."""
        return [each.name for each in self.bench.model.inventory.layers if WIDTHS[2] in self.bytes[each.name]]

    @cached_property
    def _prices(self) -> Any:
        from sdk.lowering.discovery import find_target
        from sdk.schemes import scheme_named

        names = ["fp16", *WIDTHS.values()]
        wanted = {each.name: [scheme_named(name) for name in names] for each in self.bench.model.inventory.layers}
        return find_target(TARGET).price(self.bench.model, wanted, MIN_OS)

    @property
    def bytes(self) -> Mapping[str, Mapping[str, int]]:
        """Layer → scheme → bytes in the package, codes and tables counted alike for everybody."""
        found: Mapping[str, Mapping[str, int]] = self._prices.layers
        return found

    def whole(self, widths: Mapping[str, int]) -> dict[str, str]:
        """Scheme of every layer of the model from the widths that a method chose."""
        names = [each.name for each in self.bench.model.inventory.layers]
        return {name: WIDTHS[widths[name]] if name in widths else "fp16" for name in names}

    def size(self, widths: Mapping[str, int]) -> int:
        """Bytes of the finished package."""
        return int(self._prices.base + sum(self.bytes[name][scheme] for name, scheme in self.whole(widths).items()))

    def rounded(self, schemes: Mapping[str, str], fed_back: bool) -> Any:
        """The quantized model: nearest codes at scales and tables of least squared error, or with this SDK's rounding."""
        from sdk.quantize import quantize
        from sdk.schemes import scheme_named

        named = {name: scheme_named(scheme) for name, scheme in schemes.items()}
        return quantize(self.bench.model, named, {}, self.bench.statistics if fed_back else None)

    def loss(self, quantized: Any, inputs: Any) -> float:
        """Mean loss against the float model on `inputs`."""
        losses = self.losses(quantized, inputs)
        return sum(losses) / len(losses)

    def losses(self, quantized: Any, inputs: Any) -> list[float]:
        """Loss against the float model on each of `inputs`, whose float outputs are kept."""
        import torch

        from sdk.quantize import reference
        from sdk.sensitivity import measure

        run, module = reference(quantized), self.bench.model.module()
        with torch.no_grad():
            for x in inputs:
                if id(x) not in self.outputs:
                    self.outputs[id(x)] = x, tuple(module(*x))
            return [measure(self.bench.loss, self.outputs[id(x)][1], run(*x)) for x in inputs]

    @cached_property
    def seen(self) -> list[tuple[Any, ...]]:
        """Calibration samples for methods that evaluate."""
        found: list[tuple[Any, ...]] = self.bench.samples.some(SEEN)
        return found
