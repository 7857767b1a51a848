"""What rounding uses of the calibration samples: importance of the weights, moments of the layers' inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from sdk.errors import BadInput
from sdk.heap import give_back
from sdk.models import Layer, Model
from sdk.models.samples import Samples
from sdk.rounding import Part, Statistics
from sdk.sensitivity.moments import KINDS, streamed_moments
from sdk.sensitivity.reach import Reach, reaching
from sdk.sensitivity.stream import Stream, passed_on, room

HELD_STATISTICS = 2_000_000_000
"""Bytes of gradients' squares and moments held at once of a big model; layers beyond it make further portions (see `room`)."""

LIMIT = 16
"""Samples that importance is taken of, one random direction each."""

PARTS = 2
"""Equal parts of the samples, each with moments of its own: what one rounds is judged on the other."""


def take_statistics(model: Model, samples: Samples, loss: str) -> Statistics:
    """Return what rounding uses of the samples. BadInput where it overflows."""
    taking = Taking(model, samples, loss)
    moments = [taking.moments(portion) for portion in taking.portions]
    importance = {name: value for portion in reversed(taking.portions) for name, value in taking.importance(portion).items()}
    return Statistics(importance, tuple({k: v for part in each for k, v in part.items()} for each in zip(*moments, strict=True)))


class NotFinite(BadInput):
    """What rounding uses of the samples is NaN or infinite at a layer."""


class Taking:
    """Takes the statistics of one portion of the layers at a time.

    `portions` are runs of layers, and the model is run in one segment for each (see `Stream`): take the moments of the first
    one first, and then the importance of the last one first.
    """

    def __init__(self, model: Model, samples: Samples, loss: str) -> None:
        self.portions = portions(model)
        self._model, self._samples, self._loss = model, samples, loss

    @cached_property
    def _stream(self) -> Stream:
        return Stream(self._model, self._samples.inputs, self.portions, self._loss, 1, seed=1)

    @cached_property
    def _reach(self) -> list[Reach]:
        found = reaching(self._model.module(), self._model.inventory.layers, self._samples.inputs)
        self._model.release()
        return found

    def _place(self, portion: Sequence[Layer]) -> int:
        return self._stream.places[self.portions.index(list(portion))]

    def moments(self, portion: Sequence[Layer]) -> tuple[Part, ...]:
        """Return the second moments of the inputs of a portion's layers (see `second_moments`)."""
        if self._samples.origin != "given":
            return ()
        found = streamed_moments(self._stream, self._place(portion), portion, self._reach, PARTS)
        for part in found:
            for name, each in part.items():
                _check(name, [each.value])
        give_back()
        return found

    def importance(self, portion: Sequence[Layer]) -> dict[str, Any]:
        """Return the mean squared gradient of each weight of a portion's layers (diagonal Fisher) in bfloat16, by name."""
        weights = self._stream.weights(portion)
        total: dict[str, Any] = {}

        def add(name: str, param: Any) -> None:
            squares = param.grad.square_()
            total[name] = squares if name not in total else total[name].add_(squares)
            param.grad = None

        hooks = [
            param.register_post_accumulate_grad_hook(lambda param, name=name: add(name, param)) for name, param in weights.items()
        ]
        for _ in self._stream.backward(self._place(portion), range(min(LIMIT, len(self._samples)))):
            pass
        for hook in hooks:
            hook.remove()
        give_back()
        found = {name: total.pop(name).bfloat16().contiguous() for name in list(total)}
        for layer in portion:
            _check(layer.name, [found[w] for w in layer.weights if w in found])
        return found


def _check(layer: str, tensors: Iterable[Any]) -> None:
    if not all(bool(each.isfinite().all()) for each in tensors):
        raise NotFinite(
            f"calibration: at layer {layer} the samples' squares or gradients exceed float32: "
            "give inputs scaled as the app scales them"
        )


def portions(model: Model) -> list[list[Layer]]:
    """The layers in runs whose statistics and activations take at most `room` bytes."""
    made: list[list[Layer]] = [[]]
    held, inputs, most, passing = 0, set(), room(model, HELD_STATISTICS), passed_on(model)
    for layer in model.inventory.layers:
        k = layer.parameters // layer.shape[layer.channel_axis]
        moments = 0 if layer.kind not in KINDS or layer.input in inputs else PARTS * 4 * k * k * layer.groups
        size = 4 * layer.parameters + moments + passing[layer.output] + passing[layer.input]
        if made[-1] and held + size > most:
            made.append([])
            held = 0
        made[-1].append(layer)
        inputs.add(layer.input)
        held += size
    return made
