"""The one-word presets: one width for every layer that can take it, and who could not."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sdk.errors import BadInput
from sdk.planning.limits import Solution, solution_of
from sdk.planning.names import did_you_mean
from sdk.planning.options import Choices, Option, Problem
from sdk.planning.presets import EXACT, PRESETS, SCHEMES_BY_BITS
from sdk.planning.ties import joined, separated
from sdk.schemes import all_schemes

FLOAT = 16
"""Bits of the narrowest float."""


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
    if preset == EXACT:
        return _given(problem)
    chosen = {choices.layer: _pick(choices, preset) for choices in problem.choices}
    bits = {layer: width(option.scheme) for layer, option in chosen.items()}
    wanted = PRESETS[preset][0]
    if wanted not in bits.values():
        raise BadInput(
            f"preset {preset}: no layer of this model can be stored in {wanted} bits on this target: "
            f"its layers can take {_widths(problem)} bits"
        )
    missed = [_missed(c, chosen[c.layer], wanted) for c in problem.choices if bits[c.layer] != wanted]
    return Uniform(preset, solution_of(problem, chosen, 0.0, 0.0), tuple(missed), sum(b < FLOAT for b in bits.values()))


def _given(problem: Problem) -> Uniform:
    """Take the smallest option of every layer: the weights have decided which ones there are."""
    whole = joined(problem)
    solution = separated(problem, solution_of(whole, {choices.layer: choices.options[0] for choices in whole.choices}))
    chosen = solution.chosen
    missed = [
        Missed(c.layer, c.kind, chosen[c.layer].scheme, "its weights lie on no grid that the target holds")
        for c in problem.choices if width(chosen[c.layer].scheme) >= FLOAT
    ]
    return Uniform(EXACT, solution, tuple(missed), len(chosen) - len(missed))


def first_of(preset: str, names: Collection[str]) -> str | None:
    """The first scheme of `preset` among `names`."""
    return next((name for name in _ordered(preset) if name in names), None)


def width(scheme: str) -> int:
    """Return the bits of one weight stored in `scheme` (0 for a scheme that is not in the catalogue)."""
    known = all_schemes().get(scheme)
    return known.bits if known else 0


def _pick(choices: Choices, preset: str) -> Option:
    """The first of the preset's schemes that the layer may take; of unlisted ones the widest."""
    name = first_of(preset, {option.scheme for option in choices.options})
    option = choices.option(name) if name is not None else None
    return option or max(choices.options, key=lambda option: (width(option.scheme), -option.bytes, option.scheme))


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
