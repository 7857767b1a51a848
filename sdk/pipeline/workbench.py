"""Loads and scores a model once for any number of targets, schemes and budgets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

from sdk.errors import BadInput
from sdk.heap import give_back, give_back_large_blocks
from sdk.models import Layer, Model
from sdk.models.load import finish_model
from sdk.models.running import run_float
from sdk.models.samples import Samples, random_samples, take_samples
from sdk.models.text import own_text, windows
from sdk.pipeline.blaming import FAILURES, blaming, check_finite
from sdk.pipeline.imported import own_grids
from sdk.pipeline.kept import Kept, Scores
from sdk.pipeline.losses import load_loss
from sdk.pipeline.request import EVALUATED, EVALUATED_WINDOWS, TAKEN, TAKEN_WINDOWS, Request
from sdk.pipeline.sources import Sources, read_sources, turns
from sdk.progress import Reporter
from sdk.quantize import quantize, reference
from sdk.rounding import Part, Statistics, lies_on
from sdk.schemes import Scheme
from sdk.sensitivity import PROBABLE, Response, Scoring, Taking, blind_layers, choose_loss, measure, response
from sdk.sensitivity.errors import grid_key
from sdk.sensitivity.moments import second_moments
from sdk.sensitivity.ranges import calibrate_ranges

DRAWS = 2
"""Random output directions per calibration sample."""

TRIED = 8
"""Samples that a layer is tried on which no gradient reaches."""

FOLDS = 4
"""Parts of the samples, each of which judges what the others rounded: of two, every model would be rounded by half of them."""


class Workbench:
    """A loaded model with its calibration samples; everything expensive is computed on first use and kept."""

    def __init__(self, request: Request, report: Reporter, sources: Sources | None = None) -> None:
        """Load model and calibration of `request`, or finish those of its `sources`; raises BadInput.

        `notes` belong to every bundle made from it. Rounding learns from the samples `taken`, plans are judged on `samples`,
        which are some of them.
        """
        self.notes: list[str] = []
        with report.stage("load model"):
            found = sources or read_sources(request)
            self._turned = turns(request)
            self.model: Model = finish_model(found.exported, request.name)
            give_back_large_blocks()  # what loading a big model freed is more than its layers need
            taken, judged = (TAKEN, EVALUATED) if self.model.language is None else (TAKEN_WINDOWS, EVALUATED_WINDOWS)
            self.taken = take_samples(self.model, self.windowed(found.data), taken)
            self.samples: Samples = self.taken.spread(judged, FOLDS)
        self._report = report
        outputs = self._first_outputs()
        self.loss, assumed = choose_loss(load_loss(request), self.model, outputs)
        if assumed:
            self.notes.append(f"loss: {self.loss} (assumed from the model's output; set `loss` to choose)")
        if found.exported.turned:
            self.notes.append(
                "the model's inner basis is turned, so that no channel stands out: the same function, which loses less"
            )
        unexpected = found.exported.loaded.unexpected
        if unexpected:
            held = "a weight" if len(unexpected) == 1 else f"{len(unexpected)} weights"
            such = "" if len(unexpected) == 1 else "such as "
            self.notes.append(f"the checkpoint holds {held} that the model does not know, {such}{unexpected[0]}: left out")
        if found.exported.shaped_by_sample:
            self.notes += _batch_notes(self.model)
        if self.samples.origin == "synthetic":
            self.notes.append("no calibration data: losses are estimated on synthetic inputs (data-free) and may be far off")
        self.kept = Kept(self.model, self.samples, self.loss, DRAWS)
        self._statistics: Statistics | None = None
        self._ranges: dict[str, Any] | None = None
        self._held: dict[tuple[Any, ...], bool] = {}
        self._moments: dict[int, tuple[Part, ...]] = {}

    def _first_outputs(self) -> tuple[Any, ...]:
        """What the float model makes of the first sample.

        Of random ones all are tried: a model that takes not all of them gets others, nearer its example.
        """
        for near in (1, 2) if self.samples.origin == "synthetic" else ():
            try:
                return _check_outputs(self.model, self.samples, len(self.samples))
            except (*FAILURES, BadInput):
                self.taken = self.samples = random_samples(self.model, near)
        with blaming(self.model, self.samples):
            return _check_outputs(self.model, self.samples, 1)

    def serves(self, request: Request) -> bool:
        """Whether the model here is the one that `request` is planned for: not every request takes a language model turned."""
        return self.model.language is None or turns(request) == self._turned

    def windowed(self, data: Iterable[Any] | None) -> Iterable[Any] | None:
        """Samples of a language model may be texts; without any the SDK's own text is used, and every output says so."""
        language = self.model.language
        if language is None:
            return data
        if data is None:
            self.notes.append(
                f"no calibration data: losses are estimated on {EVALUATED_WINDOWS} windows of the SDK's own text; "
                "give --calibration texts like your app's"
            )
            return windows(language, [own_text()])
        items = list(data)
        return windows(language, items) if items and all(isinstance(item, str) for item in items) else items

    @cached_property
    def own_grids(self) -> dict[str, str]:
        """Layer → the grid that its weights lie on in the checkpoint, in words."""
        found = own_grids(self.model)
        self.model.release()
        return found

    @property
    def statistics(self) -> Statistics:
        """What rounding uses of the calibration samples."""
        if self._statistics is None:
            taking = Taking(self.model, self.taken, self.loss)
            layers = taking.portions
            steps = 2 * len(layers) if len(layers) > 1 else None
            with blaming(self.model, self.taken), self._report.stage("take statistics", steps) as stage:
                def moments(portion: Sequence[Layer]) -> Statistics:
                    stage.step(f"inputs of {portion[0].name}")
                    return Statistics(parts=taking.moments(portion))

                def importance(portion: Sequence[Layer]) -> Statistics:
                    stage.step(f"weights of {portion[0].name}")
                    return Statistics(taking.importance(portion))

                inputs = self.kept.statistics("moments", layers, moments)
                weights = self.kept.statistics("importance", layers[::-1], importance)
                self._statistics = Statistics(weights.importance, inputs.parts, inputs.energies)
        return self._statistics

    def statistics_for(self, schemes: Mapping[str, Iterable[Scheme]]) -> Statistics:
        """The same, or nothing where every one of `schemes` (by layer) holds its weights as they are."""
        layers = self.model.inventory.layers
        held = all(self.holds(layer, scheme) for layer in layers for scheme in schemes.get(layer.name, ()))
        return Statistics() if held else self.statistics

    def holds(self, layer: Layer, scheme: Scheme) -> bool:
        """Whether `scheme` stores the layer's weights as they came."""
        key = (layer.name, grid_key(scheme))
        if key not in self._held:
            weights = [self._module.get_parameter(name) for name in layer.weights]
            self._held[key] = all(lies_on(weight, scheme, layer.channel_axis) for weight in weights)
            self.model.release()
        return self._held[key]

    @cached_property
    def _module(self) -> Any:
        return self.model.module()

    def moments_by(self, parts: int) -> tuple[Part, ...]:
        """Moments of the layers' inputs over each of `parts` parts of all samples."""
        if parts not in self._moments:
            self._moments[parts] = second_moments(self.model, self.taken, parts)
        return self._moments[parts]

    @property
    def ranges(self) -> dict[str, Any]:
        """Static ranges of every layer's input and output, by tensor name."""
        if self._ranges is None:
            planned = [layer for layer in self.model.inventory.layers if layer.kind not in ("embedding", "lstm", "gru")]
            with blaming(self.model, self.samples):
                self._ranges = self.kept.ranges(lambda: calibrate_ranges(self.model, planned, self.samples))
        return self._ranges

    @cached_property
    def response(self) -> Response:
        """What the loss is of the sum of the layers' losses; of language models, which are never sure of a token, the sum."""
        if self.model.language is not None or self.loss not in PROBABLE:
            return Response()
        return self.kept.response(lambda: response(self.loss, self._outputs()))

    def _outputs(self) -> Iterator[tuple[Any, ...]]:
        """Outputs of the float model, sample by sample."""
        for sample in self.samples.inputs:
            yield run_float(self.model, self._module, *sample)
        self.model.release()

    def losses(self, schemes: Mapping[str, Sequence[Scheme]]) -> dict[str, dict[str, float]]:
        """Predicted loss per layer and scheme; only what was not scored before is computed, and kept chunk by chunk."""
        self.kept.add_scores(self._lossless(self.kept.missing(schemes)), _no_loss)
        give_back()
        missing = self.kept.missing(schemes)
        if missing:
            self._score(missing)
        return self.kept.scores(schemes)

    def _score(self, wanted: Mapping[str, Sequence[Scheme]]) -> None:
        """Score `wanted`; each draw of each sample is a step. What no gradient reaches is tried, layer by layer."""
        blind = blind_layers(self.model) & wanted.keys() if self.model.language is None else frozenset()
        self.kept.add_scores({name: wanted[name] for name in sorted(blind)}, self._tried)
        wanted = {name: schemes for name, schemes in wanted.items() if name not in blind}
        if not any(wanted.values()):
            return
        static = any(scheme.activations == "static" for found in wanted.values() for scheme in found)
        ranges, statistics, per_chunk = self.ranges if static else {}, self.statistics_for(wanted), DRAWS * len(self.samples)
        scoring = Scoring(self.model, wanted, self.samples, self.loss, DRAWS, ranges, statistics, self.holds)
        with self._report.stage("score sensitivity", len(scoring.chunks) * per_chunk) as stage:
            for chunk in scoring.chunks:
                self.kept.add_scores(chunk, lambda missing: scoring.score(missing, stage.step))

    def _tried(self, wanted: Mapping[str, Sequence[Scheme]]) -> Scores:
        """Losses of the model with one layer in one scheme at a time, as torch computes it, on a few samples."""
        samples, floats = self.samples.inputs[:TRIED], list(islice(self._outputs(), TRIED))
        static = any(scheme.activations == "static" for each in wanted.values() for scheme in each)
        ranges, statistics = self.ranges if static else {}, self.statistics_for(wanted)
        found: dict[str, dict[str, float]] = {name: {} for name in wanted}
        with self._report.stage("try layers that only choose", sum(map(len, wanted.values()))) as stage:
            for name, schemes in wanted.items():
                for scheme in schemes:
                    run = reference(quantize(self.model, {name: scheme}, ranges, statistics))
                    losses = [measure(self.loss, want, run(*sample)) for want, sample in zip(floats, samples, strict=True)]
                    found[name][scheme.name] = sum(losses) / len(losses)
                    stage.step()
        return found

    def _lossless(self, schemes: Mapping[str, Sequence[Scheme]]) -> dict[str, list[Scheme]]:
        """Schemes among `schemes` that hold a weight as it is and compute in floats."""
        return {
            layer.name: [s for s in schemes.get(layer.name, ()) if s.activations == "float" and self.holds(layer, s)]
            for layer in self.model.inventory.layers
        }


def _no_loss(wanted: Mapping[str, Sequence[Scheme]]) -> Scores:
    return {name: {scheme.name: 0.0 for scheme in each} for name, each in wanted.items()}


def _batch_notes(model: Model) -> list[str]:
    """A data loader's batches are for training; what ships is meant for one input, unless somebody says otherwise."""
    batches = {spec.shape[0] if len(spec.shape) > 1 else 1 for spec in model.inputs}
    batch = min(batches)
    if len(batches) > 1 or batch == 1:
        return []
    shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in model.inputs)
    return [
        f"the bundle takes {shapes}, as the first calibration sample has it; where {batch} is the batch of a data loader, give "
        "example inputs (`inputs:`, or from the factory) of the batch that the app has"
    ]


def _check_outputs(model: Model, samples: Samples, count: int) -> tuple[Any, ...]:
    """What the model makes of the first sample; BadInput where it makes something infinite of one of the first `count`."""
    module, found = model.module(), list[tuple[Any, ...]]()
    for number, inputs in enumerate(samples.inputs[:count]):
        found.append(run_float(model, module, *inputs))
        model.release()
        check_finite(model, samples, number, found[-1])
    return found[0]
