"""The whole way of a check: hold a device, measure the repeats, compare the outputs, judge."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sdk.bundles import Bundle, Manifest, sound_bundle
from sdk.check.baseline import LEAST, comparable, judge_baseline
from sdk.check.environment import HOT
from sdk.check.identity import other_device
from sdk.check.judging import Budget, Grounds, drift_of, judge, latency, output_limit, relative_error, repeat_of
from sdk.check.protocols import Protocol, protocol_named
from sdk.check.result import (
    BaselineEntry,
    BundleEntry,
    CheckResult,
    Environment,
    Measured,
    Origin,
    ProtocolEntry,
    RunnerEntry,
)
from sdk.check.runners.catalogue import find_runner
from sdk.check.runners.runner import Job, Run, Session
from sdk.devices import DeviceProfile, find_device
from sdk.errors import BadInput, DeviceUnfit, Missing
from sdk.progress import Reporter

SETUP = 300.0
"""Seconds that pushing and removing may take, above what the repeats may."""


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What to check: the bundle's directory, `on` which runner, the protocol's name and the budgets of flags.

    `max_latency` is in ms (p90), `max_memory` in bytes; `deadline` in seconds replaces that of each repeat. `program`
    is a runner of the user's own, `ssh_config` a file for ssh, `baseline` the directory of an earlier bundle. `profile` asks for
    the time of each operator.
    """

    bundle: Path
    on: str = "local"
    protocol: str = "quick"
    max_latency: float | None = None
    max_memory: int | None = None
    deadline: float | None = None
    program: Path | None = None
    ssh_config: Path | None = None
    baseline: Path | None = None
    profile: bool = False


def check_bundle(request: CheckRequest, report: Reporter) -> CheckResult:
    """Measure the bundle and return the result with its verdicts.

    BadInput for a wrong request, CheckFailed for a bundle whose bytes changed or an artifact that breaks its process,
    Missing and its kinds for a device that is absent, lost, busy or unfit.
    """
    protocol = _protocol(request)
    runner, address = find_runner(request.on)
    bundle = sound_bundle(request.bundle)
    baseline = sound_bundle(request.baseline) if request.baseline is not None else None
    if baseline is not None:
        comparable(bundle.manifest, baseline.manifest)
    if not runner.beyond_cpu:
        _reaches(bundle, request.program)
    if bundle.manifest.language is not None and runner.name != "local":
        raise BadInput(
            f"{bundle.path}: is a language model, which its own runner executes on a device, not those of sdk check: "
            "use --on local, and sdk generate for its speed here"
        )
    if request.profile:
        _profiles(bundle, runner.name, request.program)
    inputs, outputs = bundle.reference
    job = Job(
        bundle.artifact, bundle.manifest.target, tuple(inputs), tuple(outputs), request.program, request.ssh_config,
        baseline.artifact if baseline is not None else None, bundle.manifest, protocol,
    )  # fmt: skip
    sides = 1 if baseline is None else 2
    total = SETUP + sides * protocol.repeats * (protocol.deadline + protocol.cooldown)
    with report.stage(f"hold {request.on}"), runner.open(address, job, total) as session:
        measured = _measure(session, protocol, baseline is not None, report)
        found = _result(request, bundle, protocol, session, measured, outputs)
        if request.profile:
            with report.stage("profile the operators"):
                found = found.model_copy(update={"profile": session.profile()})
    if baseline is not None:
        found = _compared(found, baseline.manifest, measured)
    for note in found.notes:
        report.note(note)
    return found


def _protocol(request: CheckRequest) -> Protocol:
    """The protocol with what the request changes: a deadline, and enough repeats for a comparison."""
    protocol = protocol_named(request.protocol)
    if request.ssh_config is not None and not request.on.startswith("ssh"):
        raise BadInput(f"--ssh-config: --on {request.on} is not reached by ssh: leave it out, or use --on ssh:HOST")
    if request.deadline is not None:
        protocol = replace(protocol, deadline=request.deadline)
    if request.baseline is None:
        return protocol
    if protocol.drift or protocol.leaks:
        raise BadInput(f"--baseline: --protocol {protocol.name} looks at one long repeat: compare with quick or full")
    return replace(protocol, repeats=max(protocol.repeats, LEAST))


def _compared(found: CheckResult, baseline: Manifest, measured: _Measured) -> CheckResult:
    """The result with the repeats of the baseline and the verdicts against it."""
    repeats = tuple(repeat_of(run, found.origin) for run in measured.baseline)
    budgets = judge_baseline(found.repeats, repeats, found.origin)
    entry = BaselineEntry(bundle=_bundle_entry(baseline), repeats=repeats)
    return found.model_copy(update={"baseline": entry, "budgets": (*found.budgets, *budgets)})


def _reaches(bundle: Bundle, program: Path | None) -> None:
    """Refuse to measure on the CPU what was made for an accelerator; a runner of the user's own may reach it."""
    made_for = bundle.manifest.accelerator
    if made_for is not None and made_for.kind != "cpu" and program is None:
        raise Missing(
            f"{bundle.path}: is for the {made_for.kind} ({made_for.title}), and the runners here execute on the CPU: "
            "give --runner PATH, a program that loads that backend (for a Core ML package: --on xcode:DIR)"
        )


def _profiles(bundle: Bundle, runner: str, program: Path | None) -> None:
    """Refuse a profile where no program makes one."""
    manifest = bundle.manifest
    if program is not None:
        raise BadInput("--profile: a runner of your own makes no profiles: leave --runner out")
    if manifest.language is not None or (manifest.target != "tflite" and runner != "null"):
        what = "a language model" if manifest.language is not None else f"a bundle of {manifest.target}"
        raise BadInput(f"--profile: {bundle.path} is {what}; LiteRT tells of each operator of a .tflite file alone: leave it out")


@dataclass(frozen=True, slots=True)
class _Measured:
    runs: tuple[Run, ...]
    baseline: tuple[Run, ...]
    before: Environment
    after: Environment


def _measure(session: Session, protocol: Protocol, compared: bool, report: Reporter) -> _Measured:
    """Measure all repeats; where it is `compared`, those of the baseline between them, first and second by turns."""
    before = session.environment()
    if before.thermal_status in HOT:
        raise DeviceUnfit(f"{session.device.id} is hot (thermal status {before.thermal_status}): let it cool, then check again")
    runs: dict[bool, list[Run]] = {False: [], True: []}
    for number in range(protocol.repeats):
        for place, baseline in enumerate(_order(number) if compared else (False,)):
            if (number or place) and not session.recorded:
                time.sleep(protocol.cooldown)
            with report.stage(f"repeat {number + 1} of {protocol.repeats}{' of the baseline' if baseline else ''}"):
                runs[baseline].append(session.run(protocol, baseline))
    return _Measured(tuple(runs[False]), tuple(runs[True]), before, session.environment())


def _order(number: int) -> tuple[bool, bool]:
    """Whether the first and the second process of a repeat measure the baseline: ABBA, so a steady drift cancels out."""
    return (False, True) if number % 2 == 0 else (True, False)


def _result(
    request: CheckRequest, bundle: Bundle, protocol: Protocol, session: Session, measured: _Measured, recorded: Sequence[object]
) -> CheckResult:
    origin = session.origin
    repeats = tuple(repeat_of(run, origin) for run in measured.runs)
    peaks = [repeat.peak_bytes for repeat in repeats if repeat.peak_bytes is not None]
    memory = Measured(value=max(peaks) if peaks else None, origin=origin)
    worst = max(relative_error(run.outputs, recorded) for run in measured.runs)
    error = Measured(value=worst if math.isfinite(worst) else None, origin=origin)
    times = latency(repeats, origin)
    manifest = bundle.manifest
    profile = _profile(manifest.device)
    budgets = _budgets(request, profile)
    other = other_device(profile, session.device) if origin == "device" else ""
    accepted: Origin = "host" if manifest.device == "host" and origin == "host" else "device"
    grounds = Grounds(accepted, other, output_limit(manifest.rounding_floor.value))
    return CheckResult(
        bundle=_bundle_entry(manifest),
        device=session.device, other_device=other, target=manifest.target, origin=origin,
        runner=RunnerEntry(
            name=request.on.partition(":")[0], program=session.program, program_sha256=session.program_sha256,
            runtime=measured.runs[0].transcript.runtime,
        ),
        protocol=ProtocolEntry(
            name=protocol.name, warmup=protocol.warmup, runs=protocol.runs, seconds=protocol.seconds,
            repeats=protocol.repeats, cooldown=protocol.cooldown,
        ),
        load_ms=Measured(value=repeats[0].load_ns / 1e6, origin=origin),
        first_ms=Measured(value=repeats[0].first_ns / 1e6, origin=origin),
        latency=times, peak_memory=memory, memory_method=session.memory_method, relative_error=error, repeats=repeats,
        before=measured.before, after=measured.after, budgets=judge(budgets, times, memory, error, grounds),
        notes=_notes(session, measured, other), **drift_of(repeats, protocol, origin),
    )  # fmt: skip


def _bundle_entry(manifest: Manifest) -> BundleEntry:
    return BundleEntry(
        digest=manifest.digest, artifact_sha256=manifest.artifact.sha256, artifact_bytes=manifest.artifact.bytes,
        model=manifest.model.name, device=manifest.device,
    )  # fmt: skip


def _budgets(request: CheckRequest, profile: DeviceProfile | None) -> list[Budget]:
    """The budgets of flags; without one for memory, what the profile says an app may use."""
    found = []
    if request.max_latency is not None:
        found.append(Budget("max_latency", request.max_latency, "ms", "flag"))
    if request.max_memory is not None:
        found.append(Budget("max_memory", request.max_memory, "bytes", "flag"))
    elif profile is not None and profile.app_memory is not None:
        found.append(Budget("max_memory", profile.app_memory.value, "bytes", "profile"))
    return found


def _profile(device: str) -> DeviceProfile | None:
    try:
        return find_device(device)
    except BadInput:
        return None  # packaged for a profile of the user's own, which is not beside the bundle


def _notes(session: Session, measured: _Measured, other: str) -> tuple[str, ...]:
    notes = [*session.notes, *([f"{other}: its numbers are judged for neither"] if other else [])]
    if measured.after.thermal_status not in (None, "none"):
        notes.append(f"the device was warm at the end (thermal status {measured.after.thermal_status}): it may have throttled")
    if any(run.transcript.stride > 1 for run in measured.runs):
        notes.append("there were more runs than are kept: every second, fourth, … sample is in the file")
    return tuple(notes)
