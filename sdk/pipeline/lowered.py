"""Plan → artifact on disk, executed and compared; what was lowered or executed before comes from the cache."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from sdk.bundles import REFERENCE, describe_artifact, sha256_file, write_reference
from sdk.cache import code_digest, key_of
from sdk.errors import CheckFailed
from sdk.lowering import Executable, Quantized, Realised, accelerator_of, artifact_of, variant_of
from sdk.pipeline.kept import QUANTIZING, floor_for, module_of, toolchain_versions
from sdk.pipeline.planning import Planned
from sdk.pipeline.together import quantized_by
from sdk.planning import Plan
from sdk.progress import Reporter
from sdk.recovery import applied, read_recovery
from sdk.schemes import scheme_named
from sdk.verify import PARITY, Parity, check_realised, compare, parity_limit, run_artifact, undefined_choice

_SITES, _PARITY = "sites.json", "parity.json"


@dataclass
class Lowered:
    """The artifact of one plan in `folder`, and where each layer is in it."""

    plan: Plan
    planned: Planned = field(repr=False)
    report: Reporter = field(repr=False)
    folder: Path
    sites: dict[str, str] = field(default_factory=dict)

    @property
    def artifact(self) -> Path:
        """Path of the file or directory that ships."""
        return self.folder / artifact_of(self.planned.target, self.planned.model)

    @property
    def min_os(self) -> float | None:
        """The OS floor that the artifact is made for; None where the target makes one for all."""
        return floor_for(self.planned.target, self.planned.min_os)

    @cached_property
    def quantized(self) -> Quantized:
        """The model on the plan's grids, made when first asked for: an artifact from the cache needs none."""
        made = quantized_by(self.plan, self.planned.workbench, self.report)
        if self.planned.recovered is None:
            return made
        return applied(read_recovery(self.planned.recovered, made), made)

    @cached_property
    def executable(self) -> Executable:
        """The artifact, loaded in its runtime when first asked for."""
        return self.planned.target.open(self.artifact)

    def subject(self) -> list[object]:
        """What decides the artifact: model, names, samples, loss, schemes, trained grids, target, OS, tools and code."""
        bench, target, recovered = self.planned.workbench, self.planned.target, self.planned.recovered
        names = [[spec.name for spec in specs] for specs in (bench.model.inputs, bench.model.outputs)]
        return [
            bench.model.artifact_digest, bench.model.name, names, bench.samples.digest, bench.loss, self.plan.schemes,
            target.name, *variant_of(target), self.min_os, toolchain_versions(target),
            code_digest(*QUANTIZING, module_of(target)), sha256_file(recovered) if recovered is not None else "",
        ]


def lowering_key(lowered: Lowered) -> str:
    """Return what the cache files the artifact under."""
    return key_of("lowered", *lowered.subject())


def parity_key(lowered: Lowered) -> str:
    """Return what the cache files the execution of the artifact's bytes, as they are in the folder, under."""
    bytes_read = describe_artifact(lowered.artifact).sha256
    return key_of("executed", bytes_read, lowered.planned.workbench.loss, *lowered.subject(), code_digest("sdk.verify"))


def lower(folder: Path, plan: Plan, planned: Planned, report: Reporter) -> Lowered:
    """Put the artifact of `plan` into `folder`, replacing one that is there; LoweringError when it is refused."""
    lowered = Lowered(plan, planned, report, folder)
    lowered.sites = planned.workbench.kept.cache.fetch(
        "lowered", lowering_key(lowered), make=lambda: _lower(lowered),
        load=lambda entry: _unpack(lowered.artifact, entry), save=lambda sites, entry: _pack(lowered.artifact, sites, entry),
    )
    return lowered


def _lower(lowered: Lowered) -> dict[str, str]:
    target = lowered.planned.target
    quantized = lowered.quantized
    quantized.model.release()
    remove(lowered.artifact)
    with lowered.report.stage(f"lower to {target.name}") as stage:
        return dict(target.lower(quantized, lowered.artifact, lowered.min_os, stage.step))


def _unpack(artifact: Path, entry: Path) -> dict[str, str]:
    sites: dict[str, str] = json.loads((entry / _SITES).read_text("utf-8"))
    remove(artifact)
    copy(entry / artifact.name, artifact)
    return sites


def _pack(artifact: Path, sites: dict[str, str], entry: Path) -> None:
    (entry / _SITES).write_text(json.dumps(sites, sort_keys=True), encoding="utf-8")
    copy(artifact, entry / artifact.name)


def copy(source: Path, to: Path) -> Path:
    """Copy a file or folder and return where it now is. OSError."""
    if source.is_dir():
        shutil.copytree(source, to)
    else:
        shutil.copyfile(source, to)
    return to


def remove(path: Path) -> None:
    """Remove a file or folder that may be there. OSError."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def verify(lowered: Lowered) -> tuple[dict[str, Realised], Parity]:
    """Read the artifact back, execute it and record a run in its folder; CheckFailed when it is not what was planned.

    The realised schemes are read from the artifact's bytes every time; the execution of these very bytes may be an
    earlier one.
    """
    target, report = lowered.planned.target, lowered.report
    with report.stage("verify"):
        realised = dict(target.realised(lowered.artifact, lowered.sites))
        computed = {name for name, scheme in lowered.plan.schemes.items() if scheme == target.lossless} - realised.keys()
        realised |= {name: Realised(target.lossless, 0) for name in computed}  # before, as their outputs are constants
        check_realised(lowered.plan.schemes, realised)
        recorded = lowered.folder / REFERENCE
        parity = lowered.planned.workbench.kept.cache.fetch(
            "verified", parity_key(lowered), make=lambda: _execute(lowered), load=lambda entry: _recall(recorded, entry),
            save=lambda found, entry: _record(recorded, found, entry),
        )
    _judge(lowered, parity)
    return realised, parity


def _execute(lowered: Lowered) -> Parity:
    samples = lowered.planned.workbench.samples
    model, target = lowered.planned.model, lowered.planned.target
    parity = compare(model, lowered.quantized, lowered.executable, target.reference, samples, lowered.planned.workbench.loss)
    outputs = run_artifact(model, lowered.executable, samples.inputs[0])
    write_reference(lowered.folder / REFERENCE, [t.numpy() for t in samples.inputs[0]], [t.numpy() for t in outputs])
    return parity


def _recall(recorded: Path, entry: Path) -> Parity:
    found = Parity(**json.loads((entry / _PARITY).read_text("utf-8")))
    shutil.copyfile(entry / REFERENCE, recorded)
    return found


def _record(recorded: Path, parity: Parity, entry: Path) -> None:
    (entry / _PARITY).write_text(json.dumps(asdict(parity), sort_keys=True), encoding="utf-8")
    shutil.copyfile(recorded, entry / REFERENCE)


def _judge(lowered: Lowered, parity: Parity) -> None:
    """CheckFailed when the artifact computes something else."""
    limit = parity_limit((scheme_named(name) for name in lowered.plan.schemes.values()), parity.floor)
    if not parity.relative_error <= limit:
        choice = undefined_choice(lowered.planned.model, lowered.planned.workbench.samples.inputs[0])
        why = (
            f"{lowered.planned.target.name} does not compute what was planned" if choice is None else
            f"{choice} of the model chooses among numbers that are equal, of which runtimes take different ones (are the weights "
            "trained?)"
        )
        raise CheckFailed(
            f"the artifact's outputs differ from the quantized model's by {parity.relative_error:.2e} relative, "
            f"above {limit:.0e} (the rounding floor is {parity.floor:.1e}): {why}; nothing was written"
        )


def remark(lowered: Lowered, parity: Parity) -> None:
    """Note what a reader of the bundle should know of its run: where only rounding differs, and who executed it."""
    if parity.relative_error > PARITY:
        lowered.report.note(
            f"relative error {parity.relative_error:.1e} against the quantized torch model; moving its float parameters by 1e-6 "
            f"moves that model by {parity.floor:.1e} (8-bit activations amplify rounding)"
        )
    if parity.origin == "evaluator" and accelerator_of(lowered.planned.target) is None:
        lowered.report.note(f"executed by {parity.runtime}, not on a device: numerics are checked, latency is not")
