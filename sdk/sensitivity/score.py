"""One-pass sensitivity: what each (layer, scheme) costs in loss, from gradients of the float model alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdk.errors import BadInput
from sdk.models import Layer, Model
from sdk.models.samples import Samples, parts_of
from sdk.rounding import Statistics
from sdk.schemes import Scheme
from sdk.sensitivity.activations import activation_error
from sdk.sensitivity.errors import HELD, WeightErrors, grid_key, rounded
from sdk.sensitivity.losses import direction
from sdk.sensitivity.moments import KINDS, second_moments
from sdk.sensitivity.taps import run_tapped

MEMORY = 2_000_000_000
"""Bytes of gradients and weight errors held at once; layers beyond it are scored in further passes."""

GRADIENT = 4
"""Bytes of a weight's gradient."""

HELD_STATISTICS = 3_000_000_000
"""Bytes of gradients' squares and moments held at once; layers beyond it take further passes."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Predicted loss per layer and scheme, in units of the stated loss, and where it comes from."""

    loss: str
    origin: str
    values: Mapping[str, Mapping[str, float]]


def importance(model: Model, samples: Samples, loss: str, layers: Sequence[Layer], limit: int = 16) -> dict[str, Any]:
    """Mean squared gradient of each layer's weights (diagonal Fisher) in bfloat16, one random direction per sample."""
    import torch

    module = model.module()
    weights = _require(module, [w for layer in layers for w in layer.weights])
    total: dict[str, Any] = {}

    def add(name: str, param: Any) -> None:
        squares = param.grad.square_()
        total[name] = squares if name not in total else total[name].add_(squares)
        param.grad = None

    for name, param in weights.items():
        param.register_post_accumulate_grad_hook(lambda param, name=name: add(name, param))
    for _ in _backward(module, samples.inputs[:limit], loss, 1, torch.Generator().manual_seed(1)):
        model.release()
    return {name: value.bfloat16().contiguous() for name, value in total.items()}


def take_statistics(model: Model, samples: Samples, loss: str, layers: Sequence[Layer] | None = None) -> Statistics:
    """Return what rounding of `layers` (default: all) uses of the samples: importance of the weights, moments of the inputs.

    BadInput where they overflow.
    """
    wanted = model.inventory.layers if layers is None else layers
    found = Statistics(importance(model, samples, loss, wanted), second_moments(model, samples, layers=wanted))
    for layer in wanted:
        known = [found.importance[w] for w in layer.weights if w in found.importance]
        if not all(bool(part.isfinite().all()) for part in (*known, *(m.value for m in found.of_parts(layer.name)))):
            raise BadInput(
                f"calibration: at layer {layer.name} the samples' squares or gradients exceed float32: "
                "give inputs scaled as the app scales them"
            )
    return found


def portions(model: Model) -> list[list[Layer]]:
    """The layers in runs whose statistics take at most HELD_STATISTICS bytes: all of them but for big models."""
    made: list[list[Layer]] = [[]]
    held, inputs = 0, set()
    for layer in model.inventory.layers:
        k = layer.parameters // layer.shape[layer.channel_axis]
        moments = 0 if layer.kind not in KINDS or layer.input in inputs else 2 * 4 * k * k * layer.groups
        size = 4 * layer.parameters + moments
        if made[-1] and held + size > HELD_STATISTICS:
            made.append([])
            held = 0
        made[-1].append(layer)
        inputs.add(layer.input)
        held += size
    return made


def score(
    model: Model,
    schemes: Mapping[str, Sequence[Scheme]],
    samples: Samples,
    loss: str,
    *,
    draws: int = 2,
    ranges: Mapping[str, Any] | None = None,
    statistics: Statistics | None = None,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Sensitivity:
    """Estimate ½·E[(gᵀΔ)²] for every layer and scheme: g the gradient of a random output direction, Δ the change.

    The weight's error and the quantized input's error of a layer are added before squaring. Error feedback fits its
    rounding to the samples, so each half of them is scored on weights that were rounded by the other half. `ranges` are the
    static activation ranges by tensor name, `statistics` what rounding uses (see `take_statistics`; taken if absent).
    """
    found = statistics or take_statistics(model, samples, loss)
    chunks = chunks_of(model, schemes)
    values: dict[str, dict[str, float]] = {name: {} for name in schemes}
    for index, chunk in enumerate(chunks):
        def report(done: int, total: int, index: int = index) -> None:
            tick(index * total + done, total * len(chunks))
        for name, each in _score_chunk(model, chunk, samples, loss, draws, ranges or {}, found, report).items():
            values[name] |= each
    ordered = {
        layer.name: {s.name: values[layer.name][s.name] for s in schemes[layer.name]}
        for layer in model.inventory.layers if layer.name in schemes
    }
    return Sensitivity(loss, samples.origin, ordered)


def chunks_of(model: Model, schemes: Mapping[str, Sequence[Scheme]]) -> list[dict[str, list[Scheme]]]:
    """Part the schemes to score by layer into runs whose gradients and errors take at most MEMORY bytes, one after the other.

    Schemes of one grid stay together, as they share its rounding.
    """
    chunks: list[dict[str, list[Scheme]]] = [{}]
    held = 0
    for layer in model.inventory.layers:
        for grid, alike in _by_grid(schemes.get(layer.name, ())).items():
            size = HELD * layer.parameters if grid is not None else 0
            gradient = 0 if layer.name in chunks[-1] else GRADIENT * layer.parameters
            if chunks[-1] and held + gradient + size > MEMORY:
                chunks.append({})
                held, gradient = 0, GRADIENT * layer.parameters
            chunks[-1].setdefault(layer.name, []).extend(alike)
            held += gradient + size
    return [chunk for chunk in chunks if chunk]


def _by_grid(schemes: Sequence[Scheme]) -> dict[Any, list[Scheme]]:
    """The schemes by what decides the stored weight; None: those that leave it as it is."""
    changing = {grid_key(scheme) for scheme in rounded(schemes)}
    made: dict[Any, list[Scheme]] = {}
    for scheme in schemes:
        made.setdefault(grid_key(scheme) if grid_key(scheme) in changing else None, []).append(scheme)
    return made


def _score_chunk(
    model: Model, schemes: Mapping[str, Sequence[Scheme]], samples: Samples, loss: str, draws: int, ranges: Mapping[str, Any],
    found: Statistics, tick: Callable[[int, int], None],
) -> dict[str, dict[str, float]]:
    import torch

    module = model.module()
    layers = [layer for layer in model.inventory.layers if layer.name in schemes]
    params = _require(module, [w for layer in layers for w in layer.weights])
    errors = [WeightErrors(layer, schemes[layer.name], params, found) for layer in layers]
    owners = {layer.weights[0]: layer.name for layer in layers}
    by_name = {layer.name: layer for layer in layers}
    dots: dict[tuple[str, str], float] = {}

    def add(key: tuple[str, str], amount: float) -> None:
        dots[key] = dots.get(key, 0.0) + amount

    def tap(name: str, value: Any) -> None:
        modes = {s.activations for s in schemes[name]} - {"float"}
        if not modes or not value.requires_grad:
            return
        for mode in sorted(modes):
            error = activation_error(value.detach(), mode, by_name[name], ranges)
            value.register_hook(lambda grad, e=error, k=(name, mode): add(k, float((grad * e).sum())))

    sums: dict[str, Any] = {name: torch.zeros(len(schemes[name]), dtype=torch.float64) for name in by_name}
    count, total, generator = 0, draws * len(samples), torch.Generator().manual_seed(2)
    for half, inputs in enumerate(parts_of(samples.inputs)):
        for each in errors:
            each.turn_to(half)
        for _ in _backward(module, inputs, loss, draws, generator, owners=owners, tap=tap, before=dots.clear):
            for each in errors:
                name = each.layer.name
                inputs_too = [dots.get((name, s.activations), 0.0) for s in schemes[name]]
                sums[name] += (each.along(_gradient(each.layer, params)) + torch.tensor(inputs_too, dtype=torch.float64)).square()
            for param in params.values():
                param.grad = None
            model.release()
            count += 1
            tick(count, total)
    return {
        name: {s.name: float(v) for s, v in zip(schemes[name], sums[name] / (2 * max(1, count)), strict=True)}
        for name in by_name
    }


def _gradient(layer: Layer, params: Mapping[str, Any]) -> Any:
    """The gradient now in `params`, of all the layer's weights one behind the other."""
    import torch

    grads = [params[w].grad for w in layer.weights]
    flat = [torch.zeros_like(params[w]) if g is None else g for w, g in zip(layer.weights, grads, strict=True)]
    return flat[0].reshape(-1) if len(flat) == 1 else torch.cat([g.flatten() for g in flat])


def _require(module: Any, names: Sequence[str]) -> dict[str, Any]:
    for param in module.parameters():
        param.requires_grad_(False)
    found = {name: module.get_parameter(name) for name in names}
    for param in found.values():
        param.requires_grad_(True)
    return found


def _backward(
    module: Any, samples: Sequence[tuple[Any, ...]], loss: str, draws: int, generator: Any,
    owners: Mapping[str, str] | None = None, tap: Any = None, before: Callable[[], None] = lambda: None,
) -> Iterator[int]:
    """Yield once per (sample, draw) with gradients of a random direction in place."""
    import torch

    for inputs in samples:
        live = tuple(x.clone().requires_grad_(True) if x.is_floating_point() else x for x in inputs)
        with torch.enable_grad():
            outputs = run_tapped(module, owners or {}, tap, live)
            for draw in range(draws):
                before()
                wanted = [(y, r) for y, r in zip(outputs, direction(loss, outputs, generator), strict=True)
                          if r is not None and y.requires_grad]
                try:
                    torch.autograd.backward([y for y, _ in wanted], [r for _, r in wanted], retain_graph=draw + 1 < draws)
                except RuntimeError as error:
                    first = str(error).splitlines()[0][:200]
                    raise BadInput(f"the model has no gradients, by which losses are estimated: {first}") from error
                yield draw
