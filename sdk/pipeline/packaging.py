"""Request → bundle: plan, quantize, lower, execute, compare, and only then put the bundle in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sdk.bundles import (
    MANIFEST,
    PLAN,
    REFERENCE,
    Artifact,
    Bundle,
    Figure,
    Figures,
    LayerEntry,
    Manifest,
    MetricEntry,
    ModelEntry,
    Tensor,
    artifact_bytes,
    check_writable,
    describe_artifact,
    dump,
    open_bundle,
    sha256_file,
    write_bundle,
    write_reference,
)
from sdk.errors import BudgetError, CheckFailed
from sdk.lowering import Executable, Quantized, Realised
from sdk.pipeline.metrics import measure_metric
from sdk.pipeline.planning import Planned, choose, limits_of, plan_request
from sdk.pipeline.request import Request
from sdk.pipeline.workbench import Workbench
from sdk.planning import Plan, plan_text
from sdk.progress import Reporter
from sdk.quantize import quantize
from sdk.schemes import scheme_named
from sdk.verify import FLOORS, PARITY, PARITY_STATIC, Parity, check_realised, compare, run_artifact

ATTEMPTS = 3
"""Plans that are lowered before a size budget is given up: each corrects the prediction by what was measured."""


@dataclass(frozen=True, slots=True)
class _Lowered:
    """A finished artifact on disk with all that was found out about it."""

    plan: Plan
    quantized: Quantized = field(repr=False)
    artifact: Path
    sites: dict[str, str]
    realised: dict[str, Realised]
    executable: Executable = field(repr=False)
    parity: Parity


def package_request(request: Request, report: Reporter, workbench: Workbench | None = None) -> Bundle:
    """Package `request` and return the bundle; nothing is left when it fails.

    Raises BadInput, Missing, BudgetError (with the counter-offer), LoweringError and CheckFailed.
    """
    if request.out is not None:
        check_writable(request.out)
    planned = plan_request(request, report, workbench)
    out = request.out or Path("dist") / f"{planned.model.name}-{planned.device.name}-{planned.target.name}"
    if request.out is None:
        check_writable(out)
    write_bundle(out, lambda folder: _fill(folder, request, planned, report))
    return open_bundle(out)


def _fill(folder: Path, request: Request, planned: Planned, report: Reporter) -> None:
    lowered = _lower_within(folder, request, planned, report)
    metric = measure_metric(request, planned, lowered.quantized, lowered.executable, report)
    (folder / PLAN).write_text(plan_text(lowered.plan), encoding="utf-8")
    sample = planned.workbench.samples.inputs[0]
    outputs = run_artifact(planned.model, lowered.executable, sample)
    write_reference(folder / REFERENCE, [t.numpy() for t in sample], [t.numpy() for t in outputs])
    manifest = _manifest(folder, request, planned, lowered, metric, tuple(report.notes))
    (folder / MANIFEST).write_text(dump(manifest), encoding="utf-8")


def _lower_within(folder: Path, request: Request, planned: Planned, report: Reporter) -> _Lowered:
    """Lower, and plan again with the measured difference kept free while the file exceeds its size budget."""
    plan, spare = planned.plan, 0
    limits, _ = limits_of(request, planned.device, planned.workbench.loss)
    for _ in range(ATTEMPTS):
        quantized, artifact, sites = _lower(folder, plan, planned, report)
        size = artifact_bytes(artifact)
        if limits.max_size is None or size <= limits.max_size:
            return _verified(plan, quantized, artifact, sites, planned, report)
        if request.plan is not None or request.uniform is not None:
            break
        spare += size - limits.max_size + 64
        report.note(f"the first file was {size - limits.max_size:,} bytes over max_size: planned again with that kept free")
        plan = choose(
            request, planned.workbench, planned.problem, planned.device, planned.target, planned.min_os, report, spare
        )
    over = size - (limits.max_size or 0)
    raise BudgetError(f"max_size {limits.max_size:,} bytes: the finished file has {size:,}; raise it by {over:,}")


def _lower(folder: Path, plan: Plan, planned: Planned, report: Reporter) -> tuple[Quantized, Path, dict[str, str]]:
    schemes = {name: scheme_named(scheme) for name, scheme in plan.schemes.items()}
    static = any(s.activations == "static" for s in schemes.values())
    bench = planned.workbench
    with report.stage("quantize"):
        quantized = quantize(planned.model, schemes, bench.importance, bench.ranges if static else {})
    artifact = folder / planned.target.artifact
    _remove(artifact)
    with report.stage(f"lower to {planned.target.name}") as stage:
        sites = dict(planned.target.lower(quantized, artifact, planned.min_os, stage.step))
    return quantized, artifact, sites


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _verified(
    plan: Plan, quantized: Quantized, artifact: Path, sites: dict[str, str], planned: Planned, report: Reporter
) -> _Lowered:
    """Read the artifact back and execute it; CheckFailed when it is not what was planned."""
    target = planned.target
    with report.stage("verify"):
        realised = dict(target.realised(artifact, sites))
        check_realised(plan.schemes, realised)
        executable = target.open(artifact)
        parity = compare(quantized, executable, target.reference, planned.workbench.samples, plan.loss)
    static = any(s.activations == "static" for s in quantized.schemes.values())
    limit = max(PARITY_STATIC if static else PARITY, FLOORS * parity.floor)
    if not parity.relative_error <= limit:
        raise CheckFailed(
            f"the artifact's outputs differ from the quantized model's by {parity.relative_error:.2e} relative, "
            f"above {limit:.0e} (the rounding floor is {parity.floor:.1e}): "
            f"{target.name} does not compute what was planned; nothing was written"
        )
    if parity.relative_error > PARITY:
        report.note(
            f"relative error {parity.relative_error:.1e} against the quantized torch model; moving its float parameters by 1e-6 "
            f"moves that model by {parity.floor:.1e} (8-bit activations amplify rounding)"
        )
    if parity.origin == "evaluator":
        report.note(f"executed by {parity.runtime}, not on a device: numerics are checked, latency is not")
    return _Lowered(plan, quantized, artifact, sites, realised, executable, parity)


def _manifest(
    folder: Path, request: Request, planned: Planned, lowered: _Lowered, metric: MetricEntry | None, notes: tuple[str, ...]
) -> Manifest:
    model, plan, parity = planned.model, lowered.plan, lowered.parity
    described: Artifact = describe_artifact(lowered.artifact)
    kinds = {layer.name: layer.kind for layer in model.inventory.layers}
    return Manifest(
        model=ModelEntry(
            name=model.name, digest=model.digest,
            inputs=tuple(Tensor(name=s.name, dtype=s.dtype, shape=s.shape) for s in model.inputs),
            outputs=tuple(Tensor(name=s.name, dtype=s.dtype, shape=s.shape) for s in model.outputs),
        ),
        device=planned.device.name,
        target=planned.target.name,
        min_os=planned.min_os,
        artifact=described,
        layers=tuple(
            LayerEntry(
                name=line.layer, kind=kinds[line.layer], planned=line.scheme, realised=lowered.realised[line.layer].scheme,
                bytes=lowered.realised[line.layer].bytes, site=lowered.sites.get(line.layer, ""),
            )
            for line in plan.layers
        ),
        loss=plan.loss,
        runtime=parity.runtime,
        predicted=Figures(
            artifact_bytes=Figure(value=plan.predicted.artifact_bytes, origin="predicted"),
            loss=Figure(value=plan.predicted.loss, origin="predicted"),
            relative_error=Figure(value=None, origin="predicted"),
        ),
        measured=Figures(
            artifact_bytes=Figure(value=described.bytes, origin=_origin(parity)),
            loss=Figure(value=max(0.0, parity.loss), origin=_origin(parity)),
            relative_error=Figure(value=parity.relative_error, origin=_origin(parity)),
        ),
        metric=metric,
        notes=notes,
        tool_versions=tool_versions(planned),
        command=request.command,
        plan_sha256=sha256_file(folder / PLAN),
        reference_sha256=sha256_file(folder / REFERENCE),
    )


def _origin(parity: Parity) -> Any:
    return parity.origin


def tool_versions(planned: Planned) -> dict[str, str]:
    """Versions of the SDK, torch and the target's toolchain."""
    found = {name: value for name, value in planned.target.toolchain().packages.items() if value}
    for name in ("snugfit", "torch", "torchao"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return dict(sorted(found.items()))


__all__ = ["package_request", "tool_versions"]
