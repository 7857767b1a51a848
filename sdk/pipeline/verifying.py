"""Checks a finished bundle: hashes, realised schemes from the artifact's bytes, and the recorded run executed again."""

from __future__ import annotations

from pathlib import Path

from sdk.bundles import Bundle, Finding, integrity, open_bundle, target_of
from sdk.errors import SdkError
from sdk.pipeline.accelerating import coverage_entry
from sdk.pipeline.placing import operators
from sdk.planning import parse_plan
from sdk.progress import Reporter

REPEATED = 1e-4
"""Largest relative difference of a repeated run from the recorded one: other processors round differently."""


def verify_bundle(path: Path, report: Reporter) -> list[Finding]:
    """Return what was checked, each with its verdict; an artifact whose bytes changed is not loaded."""
    bundle = open_bundle(path)
    findings = integrity(Path(path), bundle.manifest)
    if not all(found.ok for found in findings):
        return findings
    with report.stage("verify"):
        return [*findings, *_plan(bundle), *_schemes(bundle), _placement(bundle), _run(bundle), *_accelerator(bundle)]


def _plan(bundle: Bundle) -> list[Finding]:
    """The plan beside the artifact and the manifest agree on every layer."""
    try:
        planned = parse_plan(bundle.plan, "plan.yaml").schemes
    except SdkError as error:
        return [Finding("plan", False, str(error))]
    stated = {layer.name: layer.planned for layer in bundle.manifest.layers}
    if planned == stated:
        return [Finding("plan", True, f"{len(stated)} layers as the manifest says")]
    changed = sorted(n for n in {*planned, *stated} if planned.get(n) != stated.get(n))
    return [Finding("plan", False, f"layer {changed[0]}: plan.yaml and the manifest differ")]


def _schemes(bundle: Bundle) -> list[Finding]:
    """Every layer's scheme and bytes, read back from the artifact, are those of plan and manifest."""
    layers = bundle.manifest.layers
    try:
        target = target_of(bundle.manifest)
        realised = target.realised(bundle.artifact, {layer.name: layer.site for layer in layers})
    except SdkError as error:
        return [Finding("realised schemes", False, str(error))]
    for layer in layers:
        found = realised.get(layer.name)
        if found is None or (found.scheme, found.bytes) != (layer.realised, layer.bytes) or found.scheme != layer.planned:
            held = f"{found.scheme}, {found.bytes} bytes" if found else "no such layer"
            return [Finding(
                "realised schemes", False,
                f"layer {layer.name}: planned {layer.planned}, manifest {layer.realised} ({layer.bytes} bytes), artifact {held}",
            )]
    return [Finding("realised schemes", True, f"{len(layers)} layers as planned, read from the artifact")]


def _placement(bundle: Bundle) -> Finding:
    """Every operator runs where the manifest says: in the delegate or outside of it."""
    stated = bundle.manifest.ops
    try:
        found = operators(target_of(bundle.manifest), bundle.artifact)
    except SdkError as error:
        return Finding("operators", False, str(error))
    counts = {part: sum(getattr(found, part).values()) for part in ("delegated", "outside", "unknown")}
    if found == stated:
        said = ", ".join(f"{count} {part}" for part, count in counts.items() if count or part == "delegated")
        return Finding("operators", True, f"{said}, {found.delegates} delegates")
    for part in counts:
        was, now = getattr(stated, part), getattr(found, part)
        for name in sorted({*was, *now}):
            if was.get(name) != now.get(name):
                detail = f"{name}: {was.get(name, 0)} {part} in the manifest, {now.get(name, 0)} in the artifact"
                return Finding("operators", False, detail)
    return Finding("operators", False, f"{stated.delegates} delegates in the manifest, {found.delegates} in the artifact")


def _accelerator(bundle: Bundle) -> list[Finding]:
    """What the accelerator takes is what the manifest says; that it was executed there is claimed by nothing here."""
    made_for = bundle.manifest.accelerator
    if made_for is None:
        return []
    try:
        found = coverage_entry(target_of(bundle.manifest), bundle.artifact)
    except SdkError as error:
        return [Finding("coverage", False, str(error))]
    instead = f"nothing here runs {made_for.title}: the run above is of {made_for.numerics}"
    findings = [Finding(made_for.kind, True, made_for.title if made_for.executed else instead, done=made_for.executed)]
    if found != made_for.coverage:
        return [Finding("coverage", False, "the manifest and the artifact differ"), *findings]
    if found is None:
        return findings
    return [Finding("coverage", True, found.words), *findings]


def _run(bundle: Bundle) -> Finding:
    """The recorded input gives the recorded output again."""
    import numpy

    try:
        inputs, outputs = bundle.reference
        got = bundle.run(*inputs)
    except SdkError as error:
        return Finding("recorded run", False, str(error))
    if len(got) != len(outputs) or any(a.shape != b.shape for a, b in zip(got, outputs, strict=False)):
        return Finding("recorded run", False, "the outputs have other shapes")
    square, norm = 0.0, 0.0
    for a, b in zip(got, outputs, strict=True):
        square += float(numpy.square(a.astype("float64") - b.astype("float64")).sum())
        norm += float(numpy.square(b.astype("float64")).sum())
    relative = (square / norm) ** 0.5 if norm else square**0.5
    runtime = bundle.executable().runtime
    return Finding("recorded run", relative <= REPEATED, f"relative difference {relative:.1e}, {runtime}")
