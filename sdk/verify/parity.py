"""Executes a finished artifact and compares it with the torch models it came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from sdk.errors import CheckFailed
from sdk.lowering import Executable, Quantized
from sdk.models import Model
from sdk.models.running import run_float
from sdk.models.samples import Samples
from sdk.schemes import Scheme
from sdk.sensitivity import measure

PARITY = 1e-2
"""Largest relative error of an artifact against the same-quantization torch model."""

PARITY_STATIC = 3e-2
"""The same where convolutions are static int8: integer requantization rounds differently from fake quantization."""

FLOORS = 2.0
"""How many rounding floors an artifact may differ where that is more than the limit above."""

GROSS = 0.3
"""Relative error of one output of several at which it is wrong, however little it is beside the others: all of them together are
hardly off where one is a thousand times as large."""

SAMPLES = 8
"""Samples that the artifact is compared with the quantized model on."""

LOSS_SAMPLES, FEW, HELD = 64, 24, 1 << 28
"""Samples that the artifact's loss is measured on; where the float model's outputs on them take more than HELD bytes, fewer, down
to FEW: a few samples may lose most of it."""

WINDOWS = 3
"""Both for a language model, whose samples are windows of many tokens, each of them an output."""


def parity_limit(schemes: Iterable[Scheme], floor: float) -> float:
    """Return the largest relative error that a plan of `schemes` may show, where rounding alone makes `floor`."""
    static = any(scheme.activations == "static" for scheme in schemes)
    return max(PARITY_STATIC if static else PARITY, FLOORS * floor)


@dataclass(frozen=True, slots=True)
class Parity:
    """What executing the artifact on `samples` inputs showed.

    Over the first SAMPLES of them: `relative_error` ‖a-q‖/‖q‖ against the quantized torch model, of all outputs together, or of
    one of them where that is GROSS; `floor` (of a language model
    over one of them) the same of that model against itself with every unquantized parameter moved by 1e-6 (8-bit activations
    turn float rounding into whole steps, layer after layer; 0 where that leaves the domain of an operator), and
    `quantized_loss` of the torch model against the float one in the plan's loss. Over all of them `loss`, that of the artifact.
    For language models `agreement` is the share of tokens whose most likely next one is that of the quantized torch model, and
    `divergence` the KL divergence from it in nats per token.
    """

    relative_error: float
    floor: float
    loss: float
    quantized_loss: float
    samples: int
    runtime: str
    origin: str
    agreement: float | None = None
    divergence: float | None = None


def _count(model: Model) -> int:
    """How many samples are judged."""
    if model.language is not None:
        return WINDOWS
    outputs = 4 * sum(math.prod(spec.shape) for spec in model.outputs)
    return min(LOSS_SAMPLES, max(FEW, HELD // max(1, outputs)))


def compare(
    model: Model, quantized: Quantized, executable: Executable, make_reference: Callable[[Quantized], Callable[..., Any]],
    samples: Samples, loss: str,
) -> Parity:
    """Run artifact, quantized torch model (what `make_reference` returns) and the float `model` on the same samples.

    Raises CheckFailed when the artifact returns other shapes or values that are not finite.
    """
    inputs = samples.some(_count(model))
    compared = inputs[:SAMPLES]
    shaken = compared[:1] if model.language is not None else compared  # one window has many outputs already
    wanted = _outputs(lambda: partial(run_float, model, model.module()), inputs)
    model.release()
    simulated = _outputs(lambda: make_reference(quantized), compared)
    trembling = _outputs(lambda: make_reference(replace(quantized, model=shake(quantized))), shaken)
    off, moved, losses, planned, same, apart = _Distance(), _Distance(), 0.0, 0.0, 0.0, 0.0
    for here, there in zip(trembling, simulated, strict=False):
        moved.add(here, there)
    for index, (sample, want) in enumerate(zip(inputs, wanted, strict=True)):
        got = run_artifact(model, executable, sample)
        losses += measure(loss, want, got) / len(inputs)
        if index < len(compared):
            off.add(got, simulated[index])
            planned += measure(loss, want, simulated[index]) / len(compared)
            if model.language is not None:
                same += float((got[0].argmax(-1) == simulated[index][0].argmax(-1)).float().mean()) / len(compared)
                apart += measure("kl", simulated[index], got) / len(compared)
    if model.language is not None and hasattr(executable, "step"):
        _answer_less(executable, compared[0][0])
    said = () if model.language is None else (same, apart)
    floor = moved.relative if math.isfinite(moved.relative) else 0.0
    return Parity(
        max(off.relative, off.gross(moved)), floor, losses, planned, len(inputs), executable.runtime, executable.origin, *said
    )


def _answer_less(executable: Any, tokens: Any) -> None:
    """Read half a window, as prompts are read; CheckFailed where the artifact computes for whole windows alone."""
    import numpy as np

    ids = tokens.reshape(-1).tolist()
    half = ids[: len(ids) // 2]
    try:
        logits = np.asarray(executable.step(half, 0))
    except CheckFailed as error:
        raise CheckFailed(
            f"the artifact computes a window of {len(ids)} tokens, but fails on {len(half)} of them ({error}): its backend keeps "
            "extents of the trace; choose another target"
        ) from error
    if not np.isfinite(logits).all():
        raise CheckFailed(f"the artifact's logits behind {len(half)} tokens are not finite")


def _outputs(make: Callable[[], Callable[..., Any]], inputs: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What the model that `make` returns makes of every sample; no two models are in memory."""
    import gc

    import torch

    run = make()
    with torch.no_grad():
        made = [tuple(run(*sample)) for sample in inputs]
    del run
    gc.collect()  # a graph refers to itself: it would stay
    return made


class _Distance:
    """Adds up how far tuples of tensors are from others: (squared errors, squares) of each output."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[float, float]] = {}
        self._counted: set[int] = set()

    def add(self, got: Sequence[Any], want: Sequence[Any]) -> None:
        for index, (a, b) in enumerate(zip(got, want, strict=True)):
            squares, norms = self._sums.get(index, (0.0, 0.0))
            error, size = float((a.double() - b.double()).square().sum()), float(b.double().square().sum())
            self._sums[index] = squares + error, norms + size
            if not b.is_floating_point():
                self._counted.add(index)

    @property
    def relative(self) -> float:
        squares, norms = (sum(each) for each in zip((0.0, 0.0), *self._sums.values(), strict=True))
        return math.sqrt(squares / norms) if norms else math.sqrt(squares)

    def gross(self, moved: _Distance) -> float:
        """The largest relative error of one output that is GROSS and beyond rounding, which `moved` the same output; else 0.

        Labels and places are whole numbers of no size.
        """
        found = [0.0]
        for index, (squares, norms) in self._sums.items():
            apart, size = moved._sums.get(index, (0.0, 0.0))
            off, floor = (math.sqrt(a / b) if b else 0.0 for a, b in ((squares, norms), (apart, size)))
            found += [off] if index not in self._counted and off > max(GROSS, FLOORS * floor) else []
        return max(found)


def shake(quantized: Quantized) -> Model:
    """The model with every float parameter and buffer that no grid replaces scaled by 1 + 1e-6·ε, ε normal.

    That is what float rounding of another order would do.
    """
    import torch

    model = quantized.model
    planned = {name for layer in model.inventory.layers if quantized.grids.get(layer.name) for name in layer.weights}

    class Shaken(Model):
        def module(self) -> Any:
            module = Model.module(self)
            generator = torch.Generator().manual_seed(0)
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                if name not in planned and tensor.is_floating_point():
                    tensor.data = tensor.data * (1 + 1e-6 * torch.randn(tensor.shape, generator=generator))
            return module

    return Shaken(**{field.name: getattr(model, field.name) for field in fields(model)})


def run_artifact(model: Model, executable: Executable, sample: Sequence[Any]) -> tuple[Any, ...]:
    """Execute once on torch tensors; CheckFailed when outputs are missing, misshapen or not finite."""
    import torch

    arrays = executable.run([tensor.numpy() for tensor in sample])
    if len(arrays) != len(model.outputs):
        raise CheckFailed(f"the artifact returns {len(arrays)} outputs; the model has {len(model.outputs)}")
    found = []
    for spec, array in zip(model.outputs, arrays, strict=True):
        tensor = torch.as_tensor(array)
        if tuple(tensor.shape) != spec.shape:
            raise CheckFailed(f"output {spec.name} of the artifact has shape {list(tensor.shape)}, not {list(spec.shape)}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckFailed(f"output {spec.name} of the artifact holds NaN or infinite values")
        found.append(tensor)
    return tuple(found)
