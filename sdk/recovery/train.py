"""Trains a quantized model towards the float model and keeps the best of what it sees on samples held out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sdk.errors import BadInput
from sdk.lowering import Quantized
from sdk.models.samples import Samples
from sdk.recovery.descent import Descent
from sdk.recovery.distil import TRIED, Distillation
from sdk.recovery.precision import quick_products
from sdk.recovery.tied import tied
from sdk.recovery.trainable import Trainable, trainable
from sdk.rounding import Grid
from sdk.schemes import scheme_named

STEPS, BATCH = 500, 8
"""Optimizer steps by default, and samples (windows of a language model) in each."""

RATES = (0.001, 0.0003)
"""Learning rates, of what lies behind codes and of scales, tables and floats (units: see `Trainable`), at pace 1."""

PACE, TRAVEL, NEAR = 0.08, 1.0, 0.2
"""What the first step, at the full pace, moves the quantized model's outputs by: loss against itself, as a share of the loss.

In deep models so many parameters move together that no rate suits all; this is what a trust region holds (Schulman et al. 2015).
Small ones hardly notice a step. In them the second holds: the quantization steps that codes may go in the whole training at the
full pace (1 in Cheng et al. 2023, SignRound). They go farther in proportion where the ends of blocks are off by more than NEAR
of their size (root mean square): at one or two bits much has to change. Where that would be slower than pace 1, a longer training
goes farther instead: codes that are to change have to get there.
"""

HARM, SLOWER = 1.5, 3.0
"""Times the loss before training at which it is too fast all the same: it goes back to the best, and is so many times slower.

A little more than before is what the first steps of a high rate cost, which its end wins back.
"""

BEFORE, PROBES = 4, 8
"""Batches whose gradients are gathered before the first step, and held-out samples that the pace is measured on."""

HELD, HELD_WINDOWS = 64, 8
"""Samples, or windows of a language model, that are held out at most."""

WARM = 0.1
"""Share of the steps in which the rates rise to that."""

FIRST, EVERY = 10, 25
"""Step of the first look at the samples held out, which shows whether the pace does harm, and steps between two later ones.

A state is kept then too.
"""

LEAST = 16
"""Samples below which nothing is trained."""

State = dict[str, Any]
"""Named tensors that training goes on from."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What had the least loss: `grids` by layer, and `floats`, parameters that no layer of the plan has, by name.

    `before`, `after`: mean loss on the `held_out` last samples.
    """

    grids: Mapping[str, tuple[Grid, ...]] = field(repr=False)
    floats: Mapping[str, Any] = field(repr=False)
    before: float
    after: float
    held_out: int
    step: int
    """Step whose state was best; 0 when training did not help."""


def recover(
    quantized: Quantized, samples: Samples, loss: str, steps: int = STEPS, *,
    resume: State | None = None, keep: Callable[[State], None] = lambda state: None,
    tick: Callable[[float], None] = lambda loss: None,
) -> Recovered:
    """Train everything that the plan stores for `steps` steps with a cosine schedule.

    The last eighth of `samples` (at least 4, at most HELD) is held out: it picks the state that is returned. `keep` is handed
    a state now and then, from which `resume` goes on to the very same result. BadInput with too few samples or nothing to train.
    """
    if len(samples) < LEAST:
        raise BadInput(f"--data: {len(samples)} samples are too few to train on: give at least {LEAST}, better some hundreds")
    course = _Course(quantized, samples, loss, steps)
    if not course.quantizes:
        raise BadInput("the plan stores every layer in floating point: there is nothing to recover")
    course.load(resume) if resume is not None else course.begin()
    while course.step < steps:
        tick(course.advance())
        if course.step == FIRST or course.step % EVERY == 0 or course.step == steps:
            course.look()
            keep(course.state())
    return course.best()


class _Course:
    """Everything that one training holds."""

    def __init__(self, quantized: Quantized, samples: Samples, loss: str, steps: int) -> None:
        self._quantized, self._steps = quantized, steps
        self._pair = Distillation(quantized, loss)
        held = min(HELD if quantized.model.language is None else HELD_WINDOWS, max(4, len(samples) // 8))
        self._inputs, self._held = samples.inputs, range(len(samples) - held, len(samples))
        for place in self._held[:TRIED]:
            self._pair.wanted(self._inputs[place], place)
        self._fixed, self.quantizes, trained = dict[str, Any](), False, dict[str, Trainable]()
        floats = dict(self._pair.student.named_parameters())
        self._tied = tied(quantized)
        for name, grid in _stored(quantized, self._pair.student):
            if name in self._tied:
                continue
            if (made := trainable(grid, floats[name].detach())) is not None:
                trained[name] = made
                self.quantizes = self.quantizes or grid.scheme.format != "float"
            else:
                self._fixed[name] = grid.dequantize()
        self._trained, self._fixed = trained, self._with_tied(self._fixed)
        self._descent = Descent(
            {f"latent {name}": (made.latent, made.channels) for name, made in trained.items() if made.latent is not None},
            {f"step {index} {name}": each for name, made in trained.items() for index, each in enumerate(made.steps)},
        )
        self.step, self._best_step, self._losses, self._best = 0, 0, list[float](), list[Any]()
        self._pace = 1.0
        self._whole: list[float] = []
        """Mean of each term before training, by which its weight is chosen: the loss counts as much as all blocks together."""

    def begin(self) -> None:
        """Measure before training, and choose the pace: see PACE."""
        import torch

        self.look()
        for step in range(BEFORE):
            self._gradients(step)
        kept = [tensor.detach().clone() for tensor in self._descent.tensors.values()]
        places = self._held[:PROBES]
        with torch.no_grad():
            before = self._weights()
            self._descent.move(RATES)
            after = self._weights()
            for tensor, old in zip(self._descent.tensors.values(), kept, strict=True):
                tensor.copy_(old)
            moved = sum(self._pair.apart(before, after, self._inputs[i]) for i in places) / len(places)
            lost = sum(float(self._pair.terms(before, self._inputs[i], i)[0]) for i in places) / len(places)
        self._pace = min(max(1.0, self._travel() / (RATES[0] * self._steps)), math.sqrt(PACE * lost / max(moved, 1e-30)))

    def _travel(self) -> float:
        """Quantization steps that codes may go: see PACE."""
        _, *blocks = self._whole
        off = math.sqrt(sum(blocks) / len(blocks)) if blocks else 0.0
        return TRAVEL * max(1.0, off / NEAR)

    def advance(self) -> float:
        """Take one step; return the batch's mean loss."""
        total = self._gradients(self.step)
        self._descent.move(self._rates())
        self.step += 1
        return total

    def _weights(self) -> dict[str, Any]:
        return self._fixed | self._moved()

    def _moved(self) -> dict[str, Any]:
        """What is trained, as it is stored."""
        return self._with_tied({name: made.weight() for name, made in self._trained.items()})

    def _with_tied(self, weights: dict[str, Any]) -> dict[str, Any]:
        return weights | {name: weights[first] for name, first in self._tied.items() if first in weights}

    def _gradients(self, step: int) -> float:
        """Let the optimizer observe the gradients of one step's samples; return their mean loss."""
        import torch

        weights = self._moved()
        leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
        total = 0.0
        with quick_products():
            for place in self._places(step):
                terms = self._pair.terms({**self._fixed, **leaves}, self._inputs[place], place)
                (self._weighed(terms) / BATCH).backward()
                total += float(terms[0].detach()) / BATCH
        found = [name for name in weights if leaves[name].grad is not None]
        torch.autograd.backward([weights[n] for n in found], [leaves[n].grad for n in found])
        self._descent.observe()
        return total

    def _rates(self) -> tuple[float, float]:
        warm = min(1.0, (self.step + 1) / (WARM * self._steps))
        now = warm * 0.5 * (1 + math.cos(math.pi * self.step / self._steps))
        return RATES[0] * self._pace * now, RATES[1] * self._pace * now

    def _weighed(self, terms: tuple[Any, ...]) -> Any:
        """The loss, and the mean error of all blocks, each relative to what it was."""
        first, *rest = (term / max(before, 1e-12) for term, before in zip(terms, self._whole, strict=True))
        return first + sum(rest) / len(rest) if rest else first

    def _places(self, step: int) -> list[int]:
        """The step's samples: every epoch in an order of its own, the same in every run."""
        import torch

        count = self._held.start
        places = range(step * BATCH, (step + 1) * BATCH)
        orders = {e: torch.randperm(count, generator=torch.Generator().manual_seed(e)) for e in {p // count for p in places}}
        return [int(orders[p // count][p % count]) for p in places]

    def look(self) -> None:
        """Measure on the samples held out, and remember what is stored when it is the best so far."""
        import torch

        with torch.no_grad():
            weights = self._weights()
            found = [[float(term) for term in self._pair.terms(weights, self._inputs[i], i)] for i in self._held]
        means = [sum(term) / len(found) for term in zip(*found, strict=True)]
        self._whole = self._whole or means
        self._losses.append(means[0])
        if means[0] == min(self._losses):
            self._best, self._best_step = [tensor.detach().clone() for tensor in self._descent.tensors.values()], self.step
        elif means[0] > HARM * self._losses[0]:
            self._pace /= SLOWER
            self._go_back()
            self._descent.rest()

    def _go_back(self) -> None:
        """Let everything be as it was when it was best."""
        import torch

        with torch.no_grad():
            for tensor, best in zip(self._descent.tensors.values(), self._best, strict=True):
                tensor.copy_(best)

    def state(self) -> State:
        """Everything that goes on: what is trained, the optimizer's moments, the best so far and what was measured."""
        import torch

        found: State = {"step": torch.tensor([self.step, self._best_step])}
        numbers = {"pace": self._pace, "losses": self._losses, "whole": self._whole}
        found |= {name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()}
        for (name, tensor), best in zip(self._descent.tensors.items(), self._best, strict=True):
            found |= {name: tensor.detach(), f"best {name}": best}
            found |= {f"moment {index} {name}": each for index, each in enumerate(self._descent.moments[name])}
        return {name: value.contiguous() for name, value in found.items()}

    def load(self, state: State) -> None:
        """Go on from what `state` returned."""
        import torch

        self.step, self._best_step = state["step"].tolist()
        self._descent.count, self._pace = BEFORE + self.step, float(state["pace"])
        self._losses, self._whole = state["losses"].tolist(), state["whole"].tolist()
        with torch.no_grad():
            for name, tensor in self._descent.tensors.items():
                tensor.copy_(state[name])
                for index, moment in enumerate(self._descent.moments[name]):
                    moment.copy_(state[f"moment {index} {name}"])
        self._best = [state[f"best {name}"] for name in self._descent.tensors]

    def best(self) -> Recovered:
        """Return what was best."""
        self._go_back()
        best = {name: made.grid() for name, made in self._trained.items()}
        layers = [layer for layer in self._quantized.model.inventory.layers if layer.name in self._quantized.grids]
        grids = {
            layer.name: tuple(
                replace(best[first], scheme=grid.scheme) if (first := self._tied.get(name, name)) in best else grid
                for name, grid in zip(layer.weights, self._quantized.grids[layer.name], strict=True)
            )
            for layer in layers
        }
        planned = {name for layer in layers for name in layer.weights}
        floats = {name: grid.value for name, grid in best.items() if name not in planned}
        return Recovered(grids, floats, self._losses[0], min(self._losses), len(self._held), self._best_step)


def _stored(quantized: Quantized, module: Any) -> Iterator[tuple[str, Grid]]:
    """Yield everything that the file stores: name and grid.

    Parameters that no layer of the plan has, biases and norms, are floats; constant ones stay, since a file may hold equal
    ones once.
    """
    planned = set()
    for layer in quantized.model.inventory.layers:
        for name, grid in zip(layer.weights, quantized.grids.get(layer.name, ()), strict=False):
            planned.add(name)
            yield name, grid
    for name, parameter in module.named_parameters():
        value = parameter.detach()
        if name not in planned and value.is_floating_point() and float(value.min()) < float(value.max()):
            yield name, Grid(scheme_named("fp32"), tuple(value.shape), 0, value=value.clone())
