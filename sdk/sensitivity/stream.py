"""Runs a model forward and backward over samples, one segment of its graph after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sdk.errors import BadInput
from sdk.heap import give_back
from sdk.models import Layer, Model
from sdk.models.rewrite import attribute
from sdk.sensitivity.losses import direction
from sdk.sensitivity.segments import Segment, cut
from sdk.sensitivity.slopes import finite_slopes
from sdk.sensitivity.tape import Tape
from sdk.sensitivity.taps import NOBODY, Taps, run_tapped

Runner = Callable[[int, Any, tuple[Any, ...]], Any]
"""Told the number of a sample, a segment's module and its inputs; returns its outputs."""


LEAST = 8_000_000
"""Bytes that may be held for a model however small."""


def room(model: Model, most: int) -> int:
    """Bytes of gradients and the like that are held at once: half of what the float weights take, `most` for big models."""
    return min(most, max(LEAST, 2 * sum(layer.parameters for layer in model.inventory.layers)))


def passed_on(model: Model) -> dict[str, int]:
    """Bytes of every tensor of the model's graph for one sample, by node name."""
    values = {node.name: node.meta.get("val") for node in model.module().graph.nodes}
    return {name: v.numel() * v.element_size() if hasattr(v, "element_size") else 0 for name, v in values.items()}


class Stream:
    """A model on samples, in one segment for each run of its layers (see `cut`), with gradients of random output directions.

    Forward the segments are run from first to last, backward from last to first, each on all samples before the next one;
    what passes from one to another is on a tape. So memory holds one segment's weights, activations and gradients, and all
    segments together cost as much as the model once. A segment may be differentiated again; what was not run yet and is
    needed is run without gradients of weights.
    """

    def __init__(
        self, model: Model, inputs: Sequence[tuple[Any, ...]], runs: Sequence[Sequence[Layer]], loss: str = "mse",
        draws: int = 1, seed: int = 0,
    ) -> None:
        """Cut the model. Each sample gets `draws` directions of `loss`, from one generator with `seed`, sample by sample."""
        import torch

        self._model, self._inputs, self._loss, self._draws = model, inputs, loss, draws
        self._module = finite_slopes(model.module())
        self._module.requires_grad_(False)
        self._segments, self.places = cut(self._module, runs)
        self._finals = list(next(node for node in self._module.graph.nodes if node.op == "output").args[0])
        self._given = [node.name for node in self._module.graph.nodes if node.op == "placeholder"]
        self._differentiable = _differentiable(self._module, model.inventory.layers)
        self._tape = Tape()
        self._filled = 0
        self._pulled: set[tuple[int, int]] = set()
        self._states = [torch.Generator().manual_seed(seed).get_state()]

    def is_last(self, place: int) -> bool:
        """Whether the segment at `place` has none behind it."""
        return place == len(self._segments) - 1

    def weights(self, layers: Sequence[Layer]) -> dict[str, Any]:
        """Return the weights of `layers` by name; they alone have gradients from now on."""
        self._module.requires_grad_(False)
        found = {name: self._module.get_parameter(name) for layer in layers for name in layer.weights}
        for weight in found.values():
            weight.requires_grad_(True)
        return found

    def forward(self, place: int, run: Runner | None = None) -> None:
        """Run the segment at `place` on every sample by `run`; those before it are run if they were not yet.

        What `run` returns of the last segment is not looked at.
        """
        import torch

        for earlier in range(self._filled, place):
            self.forward(earlier)
        segment = self._segments[place]
        with torch.no_grad():
            for sample in range(len(self._inputs)):
                values = self._values(sample, segment)
                found = segment.module(*values) if run is None else run(sample, segment.module, values)
                if place == self._filled and not self.is_last(place):
                    for name, value in zip(segment.outputs, found, strict=True):
                        self._tape[name, sample] = value
                self._model.release()
        self._filled = max(self._filled, place + 1)
        give_back()

    def backward(
        self, place: int, samples: Sequence[int], taps: Taps = NOBODY, before: Callable[[], None] = lambda: None
    ) -> Iterator[int]:
        """Yield once per (sample, draw) with the gradients of the weights of the segment at `place`, after calling `before`.

        `taps` hear of the forward pass. The samples of the last segment
        must be taken in their order. BadInput where the model has no gradients.
        """
        for earlier in range(self._filled, len(self._segments) - 1):
            self.forward(earlier)
        for later in range(len(self._segments) - 1, place, -1):
            for sample in samples:
                if (later, sample) not in self._pulled:
                    for _ in self._differentiate(later, sample):
                        pass
        for sample in samples:
            yield from self._differentiate(place, sample, taps, before)

    def _differentiate(
        self, place: int, sample: int, taps: Taps = NOBODY, before: Callable[[], None] = lambda: None
    ) -> Iterator[int]:
        import torch

        segment = self._segments[place]
        live = [self._leaf(name, value) for name, value in zip(segment.inputs, self._values(sample, segment), strict=True)]
        first = (place, sample) not in self._pulled
        with torch.enable_grad():
            outputs = dict(zip(segment.outputs, run_tapped(segment.module, taps, tuple(live)), strict=True))
            generator = torch.Generator()
            if self.is_last(place):
                generator.set_state(self._states[sample])
            for draw in range(self._draws):
                before()
                if self.is_last(place):
                    pulls = self._directions(outputs, sample, draw, generator, first)
                else:
                    keys = {name: ("gradient", name, sample, draw) for name in outputs}
                    pulls = [(name, self._tape[key]) for name, key in keys.items() if key in self._tape]
                wanted = [(outputs[name], pull) for name, pull in pulls if outputs[name].requires_grad]
                try:
                    torch.autograd.backward([y for y, _ in wanted], [p for _, p in wanted], retain_graph=draw + 1 < self._draws)
                except RuntimeError as error:
                    said = str(error).splitlines()[0][:200]
                    raise BadInput(f"the model has no gradients, by which losses are estimated: {said}") from error
                for name, leaf in zip(segment.inputs, live, strict=True):
                    if first and leaf.grad is not None and name not in self._given:
                        self._tape.add(("gradient", name, sample, draw), leaf.grad)
                    leaf.grad = None
                yield draw
        if self.is_last(place) and len(self._states) == sample + 1:
            self._states.append(generator.get_state())
        self._pulled.add((place, sample))
        self._model.release()

    def _directions(
        self, outputs: Mapping[str, Any], sample: int, draw: int, generator: Any, first: bool
    ) -> list[tuple[str, Any]]:
        """Random directions of the model's outputs: of those in `outputs`, by name; the others' go on the tape."""
        finals = [outputs[node.name] if node.name in outputs else self._value(sample, node) for node in self._finals]
        made = []
        for node, pull in zip(self._finals, direction(self._loss, finals, generator), strict=True):
            if pull is not None and node.name in outputs:
                made.append((node.name, pull))
            elif pull is not None and node.op == "call_function" and first:
                self._tape.add(("gradient", node.name, sample, draw), pull)
        return made

    def _values(self, sample: int, segment: Segment) -> tuple[Any, ...]:
        given = dict(zip(self._given, self._inputs[sample], strict=True))
        return tuple(given[name] if name in given else self._tape[name, sample] for name in segment.inputs)

    def _value(self, sample: int, node: Any) -> Any:
        """An output of the model that is made by an earlier segment, or by none."""
        if node.op == "placeholder":
            return self._inputs[sample][self._given.index(node.name)]
        return attribute(self._module, node.target) if node.op == "get_attr" else self._tape[node.name, sample]

    def _leaf(self, name: str, value: Any) -> Any:
        if not value.is_floating_point() or name not in self._differentiable:
            return value
        return value.detach().requires_grad_(True)


def _differentiable(module: Any, layers: Sequence[Layer]) -> set[str]:
    """Names of nodes that depend on an input of floats or on a layer's weight: of the others no gradient is needed."""
    weights, found = {name for layer in layers for name in layer.weights}, set[str]()
    for node in module.graph.nodes:
        value = node.meta.get("val")
        given = node.op == "placeholder" and (value is None or value.is_floating_point())
        if given or (node.op == "get_attr" and node.target in weights) or any(n.name in found for n in node.all_input_nodes):
            found.add(node.name)
    return found
