"""Trains a quantized model towards the float model's outputs and keeps the best of what it sees on samples held out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sdk.errors import BadInput
from sdk.lowering import Quantized
from sdk.models.samples import Samples
from sdk.recovery.student import student
from sdk.recovery.trainable import Trainable, trainable
from sdk.rounding import Grid
from sdk.sensitivity import divergence

STEPS, BATCH = 300, 8
"""Optimizer steps by default, and samples in each."""

LATENT_RATE, STEP_RATE = 0.02, 0.002
"""Learning rates at the start, in quantization steps per step, for the values behind the codes and for scales and tables."""

EVERY = 25
"""Steps between two looks at the samples held out; a state is kept then too."""

LEAST = 16
"""Samples below which nothing is trained."""

State = dict[str, Any]
"""Named tensors that training goes on from."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """`grids`: layer → grids with the least loss; `before`, `after`: mean loss on the `held_out` last samples."""

    grids: Mapping[str, tuple[Grid, ...]] = field(repr=False)
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
    """Train codes, scales and tables of `quantized` for `steps` steps of Adam with a cosine schedule.

    The last eighth of `samples` (at least 4) is held out: it picks the state that is returned. `keep` is handed a state
    now and then, from which `resume` goes on to the very same result. BadInput with too few samples or nothing to train.
    """
    if len(samples) < LEAST:
        raise BadInput(f"--data: {len(samples)} samples are too few to train on: give at least {LEAST}, better some hundreds")
    course = _Course(quantized, samples, loss, steps)
    if not course.trained:
        raise BadInput("the plan stores every layer in floating point: there is nothing to recover")
    course.load(resume) if resume is not None else course.look()
    while course.step < steps:
        tick(course.advance())
        if course.step % EVERY == 0 or course.step == steps:
            course.look()
            keep(course.state())
    return course.best()


class _Course:
    """Everything that one training holds."""

    def __init__(self, quantized: Quantized, samples: Samples, loss: str, steps: int) -> None:
        import torch

        self._module, self._loss, self._steps = student(quantized), loss, steps
        self._teacher = quantized.model.module()
        held = max(4, len(samples) // 8)
        self._inputs, self._held = samples.inputs[:-held], samples.inputs[-held:]
        self._floats = {name: p.detach() for name, p in self._module.named_parameters()}
        self._quantized, self.trained, self._fixed = quantized, dict[str, Trainable](), dict[str, Any]()
        for layer in quantized.model.inventory.layers:
            for name, grid in zip(layer.weights, quantized.grids.get(layer.name, ()), strict=False):
                if (made := trainable(grid)) is not None:
                    self.trained[name] = made
                else:
                    self._fixed[name] = grid.dequantize()
        latents, widths = ([getattr(t, which) for t in self.trained.values()] for which in ("latent", "steps"))
        self._adam = torch.optim.Adam(
            [{"params": latents, "lr": LATENT_RATE}, {"params": widths, "lr": STEP_RATE}], betas=(0.9, 0.99)
        )
        self.step, self._best_step, self._losses, self._best = 0, 0, list[float](), dict[str, Grid]()

    def advance(self) -> float:
        """Take one step; return the batch's mean loss."""
        import torch

        for group, rate in zip(self._adam.param_groups, (LATENT_RATE, STEP_RATE), strict=True):
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * self.step / self._steps))
        weights = {name: made.weight() for name, made in self.trained.items()}
        leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
        total = 0.0
        batch = self._batch()
        for inputs in batch:
            value = self._divergence(leaves, inputs) / len(batch)
            value.backward()
            total += float(value.detach())
        found = [name for name in weights if leaves[name].grad is not None]
        self._adam.zero_grad()
        torch.autograd.backward([weights[n] for n in found], [leaves[n].grad for n in found])
        self._adam.step()
        self.step += 1
        return total

    def _batch(self) -> Sequence[tuple[Any, ...]]:
        """The step's samples: every epoch in an order of its own, the same in every run."""
        import torch

        count = len(self._inputs)
        places = range(self.step * BATCH, (self.step + 1) * BATCH)
        orders = {e: torch.randperm(count, generator=torch.Generator().manual_seed(e)) for e in {p // count for p in places}}
        return [self._inputs[int(orders[p // count][p % count])] for p in places]

    def _divergence(self, weights: Mapping[str, Any], inputs: tuple[Any, ...]) -> Any:
        import torch

        with torch.no_grad():
            want = tuple(self._teacher(*inputs))
        got = torch.func.functional_call(self._module, {**self._floats, **self._fixed, **weights}, inputs)
        return divergence(self._loss, want, tuple(got))

    def look(self) -> None:
        """Measure on the samples held out, and remember the grids when they are the best so far."""
        import torch

        with torch.no_grad():
            weights = {name: made.weight() for name, made in self.trained.items()}
            mean = sum(float(self._divergence(weights, inputs)) for inputs in self._held) / len(self._held)
        if not self._losses or mean < min(self._losses):
            self._best, self._best_step = {name: made.grid() for name, made in self.trained.items()}, self.step
        self._losses.append(mean)

    def state(self) -> State:
        """Everything that goes on: latents, moments of Adam, the best grids and what was measured."""
        import torch

        losses = torch.tensor(self._losses, dtype=torch.float64)
        found: State = {"step": torch.tensor([self.step, self._best_step]), "losses": losses}
        for name, made in self.trained.items():
            found |= {f"latent {name}": made.latent.detach(), f"steps {name}": made.steps.detach()}
            best = self._best[name]
            parts = {"codes": best.codes, "scale": best.scale, "table": best.table}
            found |= {f"{part} {name}": value for part, value in parts.items() if value is not None}
        for index, moments in self._adam.state_dict()["state"].items():
            found |= {f"adam {index} {which}": value for which, value in moments.items()}
        return {name: value.contiguous() for name, value in found.items()}

    def load(self, state: State) -> None:
        """Go on from what `state` returned."""
        import torch

        self.step, self._best_step = state["step"].tolist()
        self._losses = state["losses"].tolist()
        whole = self._adam.state_dict()
        for key in (key for key in state if key.startswith("adam ")):
            _, index, which = key.split(" ")
            whole["state"].setdefault(int(index), {})[which] = state[key]
        self._adam.load_state_dict(whole)
        grids = {n: g for layer in self._quantized.model.inventory.layers
                 for n, g in zip(layer.weights, self._quantized.grids.get(layer.name, ()), strict=False)}
        with torch.no_grad():
            for name, made in self.trained.items():
                made.latent.copy_(state[f"latent {name}"])
                made.steps.copy_(state[f"steps {name}"])
                parts = {part: state[f"{part} {name}"] for part in ("codes", "scale", "table") if f"{part} {name}" in state}
                self._best[name] = replace(grids[name], **parts)

    def best(self) -> Recovered:
        grids = {
            layer.name: tuple(
                self._best.get(name, grid)
                for name, grid in zip(layer.weights, self._quantized.grids[layer.name], strict=True)
            )
            for layer in self._quantized.model.inventory.layers
            if layer.name in self._quantized.grids
        }
        return Recovered(grids, self._losses[0], min(self._losses), len(self._held), self._best_step)
