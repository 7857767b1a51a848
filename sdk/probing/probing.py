"""Probes a device: drafts its profile from what it says, and measures its kernels, in one session."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from sdk.cache import Cache, code_digest, key_of, versions
from sdk.check.result import Origin
from sdk.check.runners.catalogue import find_runner
from sdk.check.runners.runner import Job, Runner, Session
from sdk.costs.latency import KernelTimes, placed
from sdk.devices import DeviceProfile, Kernels, find_device
from sdk.devices.draft import SCRIPT, draft_profile
from sdk.errors import BadInput
from sdk.lowering import Target
from sdk.lowering.discovery import ready_target
from sdk.probing.artifacts import Probe, build_network, load_probes, save_probes
from sdk.probing.fit import fit_kernels, fit_stream
from sdk.probing.networks import Network, all_networks
from sdk.probing.timing import Timed, time_probes
from sdk.progress import Reporter

HOURS = 1.0
"""Longest that the device is held."""
CODE = (
    "sdk.probing.artifacts", "sdk.probing.networks", "sdk.probing.operators", "sdk.costs.work", "sdk.costs.activations",
    "sdk.models", "sdk.quantize", "sdk.rounding", "sdk.schemes",
)  # fmt: skip
"""What decides the artifacts of a probe."""


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What to probe: `on` which runner, the targets whose kernels are measured (none: facts alone), files for ssh and runner."""

    on: str = "local"
    targets: tuple[str, ...] = ()
    ssh_config: Path | None = None
    program: Path | None = None


def probe_device(request: ProbeRequest, report: Reporter) -> DeviceProfile:
    """Return the profile of the device: its facts, and the kernels of each target.

    BadInput, Missing and its kinds as for a check; CheckFailed when the kernels do not run there.
    """
    runner, address = find_runner(request.on)
    if request.on.partition(":")[0] == "null" and request.targets:
        raise BadInput("--on null measures nothing: use --no-kernels, or local, adb or ssh:HOST")
    targets = [ready_target(name) for name in request.targets]
    kernels: dict[str, Kernels] = {}
    with tempfile.TemporaryDirectory(prefix="snugfit-probe-") as folder:
        hold = partial(_held, request, runner, address, report)
        with hold(_nothing(Path(folder)), request.targets[0] if request.targets else "tflite") as session:
            profile = _drafted(request.on, session)  # first: a device that is not there is told before artifacts are made
            counts = not targets or _counts(session.origin, request.on, report)
        for target in targets if counts else ():
            probes = _built(target, Path(folder) / target.name, report)
            with hold(probes[0].file, target.name) as session:
                kernels[target.name] = _measured(probes, session, report)
    return DeviceProfile.model_validate(profile.model_copy(update={"kernels": kernels}).model_dump(by_alias=True))


@contextmanager
def _held(
    request: ProbeRequest, runner: Runner, address: str, report: Reporter, artifact: Path, target: str
) -> Iterator[Session]:
    """Hold the device with an artifact of a target."""
    job = Job(artifact, target, (), (), request.program, request.ssh_config)
    with report.stage(f"hold {request.on}"), runner.open(address, job, HOURS * 3600) as session:
        yield session


def _nothing(folder: Path) -> Path:
    path = folder / "nothing"
    path.write_bytes(b"")
    return path


def _drafted(on: str, session: Session) -> DeviceProfile:
    """The host's own profile for this machine; else a draft from what the device says."""
    return find_device("host") if on == "local" else draft_profile(session.ask(SCRIPT), on.startswith("adb"))


def _counts(origin: Origin, on: str, report: Reporter) -> bool:
    """Whether times that are measured there are times of a device."""
    if origin == "emulator":
        report.note(f"{on} is an emulator, whose times say nothing of a device: the draft has no kernels")
    return origin != "emulator"


def _built(target: Target, folder: Path, report: Reporter) -> list[Probe]:
    """The artifacts of every network, from the cache where they were made before."""
    networks, store, found = all_networks(), Cache(), []
    with report.stage(f"build the probe of {target.name}", len(networks)):
        for place, network in enumerate(networks):
            found += _fetched(store, network, target, folder / str(place))
            report.step()
    return found


def _fetched(store: Cache, network: Network, target: Target, folder: Path) -> list[Probe]:
    packages = {name: said for name, said in target.toolchain().packages.items() if said}
    module = type(target).__module__.rpartition(".")[0] or type(target).__module__
    key = key_of(network.name, packages, versions("torch", "torchao"), code_digest(*CODE, module))
    made = lambda: list(build_network(network, target, folder))  # noqa: E731
    return store.fetch("probe", key, load=load_probes, make=made, save=save_probes)


def _measured(probes: Sequence[Probe], session: Session, report: Reporter) -> Kernels:
    timed = time_probes(probes, session, report)
    with report.stage("fit"):
        rows = fit_kernels(probes, timed.medians)
        stream = fit_stream(probes, timed.medians)
    origin = f"measured by `sdk devices probe` ({session.origin}, snugfit {version('snugfit')}), noise {timed.spread:.1%}"
    draft = Kernels(
        runtime=timed.runtime, origin=origin, tail=round(timed.tail, 3), error=(0.0, 0.0), stream=stream, rows=tuple(rows)
    )
    return draft.model_copy(update={"error": bounds(probes, timed, draft)})


def bounds(probes: Sequence[Probe], timed: Timed, kernels: Kernels) -> tuple[float, float]:
    """Return the 5 % and 95 % points of measured / predicted - 1 over the probe's networks of layers."""
    times = KernelTimes(kernels)
    ratios = [
        timed.medians[place] / predicted(probe, times) - 1
        for place, probe in enumerate(probes) if place in timed.medians and probe.steps[0].layer is not None
    ]
    cuts = statistics.quantiles(ratios, n=20)
    return round(cuts[0], 3), round(cuts[-1], 3)


def predicted(probe: Probe, times: KernelTimes) -> float:
    """Return the ns that the kernels' times say of one artifact of the probe."""
    steps = sum(map(times.step, placed(probe.steps, probe.schemes, times.outside), probe.schemes))
    return max(1.0, steps + sum(map(times.convert, probe.converted)) + times.borders(probe.steps, probe.schemes))

