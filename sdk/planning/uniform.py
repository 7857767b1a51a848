"""The one-word presets: one width for every layer that can take it, and who could not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from sdk.errors import BadInput
from sdk.planning.limits import Solution
from sdk.planning.names import did_you_mean
from sdk.planning.options import Choices, Option, Problem
from sdk.planning.presets import PRESETS, SCHEMES_BY_BITS
from sdk.schemes import all_schemes


@dataclass(frozen=True, slots=True)
class Missed:
    """A layer that could not take the preset's width, the scheme it got instead, and why."""

    layer: str
    kind: str
    got: str
    why: str


@dataclass(frozen=True, slots=True)
class Uniform:
    """A preset applied: `missed` layers got something else; `quantized` layers are stored below 16 bits."""

    preset: str
    solution: Solution
    missed: tuple[Missed, ...]
    quantized: int

    @property
    def objective(self) -> str:
        """What a plan's header calls it."""
        return f"uniform {self.preset}"

    @property
    def reasons(self) -> dict[str, str]:
        """A reason for every layer, for the plan's lines."""
        plain = dict.fromkeys(self.solution.chosen, self.objective)
        return plain | {m.layer: f"{self.objective}, but {m.why}" for m in self.missed}


def uniform(problem: Problem, preset: str) -> Uniform:
    """Give every layer the preset's width in bits, or the next in the preset's list that it may take.

    BadInput when the preset is unknown, or when no layer at all can take its width.
    """
    if preset not in PRESETS:
        known = ", ".join(PRESETS)
        raise BadInput(f"no preset is called {preset!r}: use one of {known}{did_you_mean(preset, PRESETS)}")
    chosen = {choices.layer: _pick(choices, preset) for choices in problem.choices}
    bits = {layer: width(option.scheme) for layer, option in chosen.items()}
    wanted = PRESETS[preset][0]
    if wanted not in bits.values():
        raise BadInput(
            f"preset {preset}: no layer of this model can be stored in {wanted} bits on this target: "
            f"its layers can take {_widths(problem)} bits"
        )
    missed = [_missed(c, chosen[c.layer], wanted) for c in problem.choices if bits[c.layer] != wanted]
    solution = Solution(
        chosen=chosen,
        bytes=problem.base + sum(option.bytes for option in chosen.values()),
        loss=math.fsum(option.loss for option in chosen.values()),
        price=0.0,
        gap=0.0,
    )
    return Uniform(preset, solution, tuple(missed), sum(b < 16 for b in bits.values()))


def width(scheme: str) -> int:
    """Return the bits of one weight stored in `scheme` (0 for a scheme that is not in the catalogue)."""
    known = all_schemes().get(scheme)
    return known.bits if known else 0


def _pick(choices: Choices, preset: str) -> Option:
    """The first of the preset's schemes that the layer may take; of unlisted ones the widest."""
    for name in _ordered(preset):
        option = choices.option(name)
        if option is not None:
            return option
    return max(choices.options, key=lambda option: (width(option.scheme), -option.bytes, option.scheme))


def _ordered(preset: str) -> Iterator[str]:
    for bits in PRESETS[preset]:
        yield from SCHEMES_BY_BITS[bits]


def _missed(choices: Choices, got: Option, wanted: int) -> Missed:
    names = SCHEMES_BY_BITS[wanted]
    reasons = [(name, choices.refusal(name)) for name in names]
    nothing = f"no {wanted}-bit scheme is allowed here"
    why = next((f"{name}: {text}" for name, text in reasons if text), nothing)
    return Missed(choices.layer, choices.kind, got.scheme, why)


def _widths(problem: Problem) -> str:
    found = {width(option.scheme) for choices in problem.choices for option in choices.options} - {0}
    return ", ".join(str(bits) for bits in sorted(found)) or "no known number of"
