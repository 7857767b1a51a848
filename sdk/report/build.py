"""Reads bundles, their plans and their checks into the report's data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdk.bundles import Bounded, Bundle, Manifest, sound_bundle
from sdk.bundles import Figure as Stated
from sdk.check import CheckResult, read_result
from sdk.devices import find_device
from sdk.errors import BadInput
from sdk.planning import FrontPoint, Plan, knee, parse_plan
from sdk.report.data import Figure, KindShare, Layer, Metric, Number, Operators, Parity, Part, Point, Report
from sdk.report.latency import check_of
from sdk.report.numbers import UNITS
from sdk.report.words import headline, overall, statements
from sdk.schemes import scheme_named
from sdk.verify import parity_limit


def build_report(bundles: Sequence[Path], checks: Sequence[Path] = ()) -> Report:
    """Return the report of `bundles` with the `checks` that were made of their artifacts.

    BadInput when a path holds no bundle, or a check is of none of them; CheckFailed when one of its files was changed.
    """
    opened = [sound_bundle(path) for path in bundles]
    results = [(path, read_result(path)) for path in checks]
    known = {bundle.manifest.artifact.sha256 for bundle in opened}
    for path, result in results:
        if result.bundle.artifact_sha256 not in known:
            raise BadInput(
                f"{path}: bundle: {result.bundle.model} for {result.bundle.device}: is a check of another artifact: "
                "name its bundle too, or leave the check out"
            )
    parts = tuple(_part(bundle, [result for _, result in results]) for bundle in opened)
    return Report(overall([part.state for part in parts]), parts)


def _part(bundle: Bundle, results: Sequence[CheckResult]) -> Part:
    manifest, plan = bundle.manifest, parse_plan(bundle.plan, f"{bundle.path}/plan.yaml")
    device = device_title(manifest.device)
    layers = _layers(manifest, plan)
    unit = UNITS.get(manifest.loss, manifest.loss)
    size = _figure("size", manifest.predicted.artifact_bytes, manifest.measured.artifact_bytes, "bytes", plan.budgets.max_size)
    quality = _figure("loss", manifest.predicted.loss, manifest.measured.loss, unit, plan.budgets.max_loss)
    metric, parity = _metric(manifest), _parity(manifest)
    float_bytes = 4 * sum(layer.parameters for layer in layers)
    front = points_of(tuple(FrontPoint(each.bytes, each.loss, each.price) for each in manifest.front))
    made = tuple(check_of(each) for each in results if each.bundle.artifact_sha256 == manifest.artifact.sha256)
    said = statements(device, float_bytes, size, quality, manifest.loss, metric, parity, made)
    title, state = headline(device, size, quality, metric, said)
    return Part(
        path=str(bundle.path), model=manifest.model.name, device=manifest.device, device_name=device,
        target=manifest.target, min_os=manifest.min_os, runtime=manifest.runtime, artifact=manifest.artifact.path,
        artifact_sha256=manifest.artifact.sha256, digest=manifest.digest, command=manifest.command,
        objective=plan.objective, loss=manifest.loss, loss_unit=unit,
        calibration=f"{plan.calibration.samples} samples of {plan.calibration.origin}",
        headline=title, state=state, statements=said, float_bytes=float_bytes, size=size, quality=quality, metric=metric,
        parity=parity, layers=layers, kinds=_kinds(layers, manifest.artifact.bytes),
        base_bytes=manifest.artifact.bytes - sum(layer.bytes for layer in layers), front=front,
        operators=_operators(manifest), checks=made, notes=manifest.notes, tool_versions=manifest.tool_versions,
    )  # fmt: skip


def device_title(name: str) -> str:
    """Return how the device is called, or `name` where no profile of that name is installed."""
    try:
        return find_device(name).title
    except BadInput:
        return name


def _figure(name: str, predicted: Stated, measured: Stated, unit: str, limit: float | int | None) -> Figure:
    ratio = measured.value / predicted.value if predicted.value and measured.value is not None else None
    bounds = (predicted.low, predicted.high) if name == "loss" and isinstance(predicted, Bounded) else (None, None)
    return Figure(name, _number(predicted, unit), _number(measured, unit), ratio, limit, *bounds)


def _number(stated: Stated, unit: str) -> Number:
    return Number(stated.value, unit, stated.origin)


def _metric(manifest: Manifest) -> Metric | None:
    metric, origin = manifest.metric, manifest.measured.loss.origin
    if metric is None:
        return None
    return Metric(
        metric.name, Number(metric.float_, "", "host"), Number(metric.quantized, "", "host"), Number(metric.artifact, "", origin)
    )


def _parity(manifest: Manifest) -> Parity:
    floor = manifest.rounding_floor
    limit = parity_limit((scheme_named(layer.realised) for layer in manifest.layers), floor.value or 0.0)
    return Parity(_number(manifest.measured.relative_error, "relative"), _number(floor, "relative"), limit)


def _layers(manifest: Manifest, plan: Plan) -> tuple[Layer, ...]:
    lines = {line.layer: line for line in plan.layers}
    if set(lines) != {layer.name for layer in manifest.layers}:
        raise BadInput(f"plan.yaml of {manifest.model.name}: its layers are not the manifest's: run `sdk verify`")
    return tuple(
        Layer(
            layer.name, layer.kind, layer.realised, layer.parameters, layer.bytes,
            8 * layer.bytes / layer.parameters if layer.parameters else None, lines[layer.name].loss, lines[layer.name].reason,
        )
        for layer in manifest.layers
    )  # fmt: skip


def _kinds(layers: Sequence[Layer], total: int) -> tuple[KindShare, ...]:
    sums: dict[str, list[int]] = {}
    for layer in layers:
        sums.setdefault(layer.kind, []).append(layer.bytes)
    found = [KindShare(kind, len(each), sum(each), sum(each) / total if total else 0.0) for kind, each in sums.items()]
    return tuple(sorted(found, key=lambda share: (-share.bytes, share.kind)))


def points_of(front: tuple[FrontPoint, ...]) -> tuple[Point, ...]:
    """Return a front as a report shows it, its knee marked."""
    best = knee(front, lambda point: point.bytes)
    return tuple(Point(each.bytes, each.loss, 1000 * each.price, each == best) for each in front)


def _operators(manifest: Manifest) -> Operators | None:
    ops = manifest.ops
    if not (ops.delegated or ops.outside or ops.unknown):
        return None
    return Operators(ops.delegates, dict(ops.delegated), dict(ops.outside), dict(ops.unknown))
