"""The fit finds kernels from sums of their times, whatever the networks hold."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import torch

from sdk.costs.latency import BEHIND, KernelTimes, placed
from sdk.costs.work import steps_of
from sdk.devices import Kernel, Kernels
from sdk.models.load import load_model
from sdk.probing.artifacts import Probe, load_probes, save_probes
from sdk.probing.fit import fit_kernels, fit_stream
from sdk.probing.networks import all_networks
from sdk.probing.probing import predicted

ROWS = (
    Kernel(kind="pointwise", scheme="fp32", tile=(1, 16, 1), ns=(0.016, 0.1, 0.05, 0.01, 800.0)),
    Kernel(kind="conv2d", scheme="fp32", tile=(1, 16, 1), ns=(0.015, 0.2, 0.05, 0.01, 900.0)),
    Kernel(kind="layout", ns=(0, 0.6, 0, 0, 700.0)),
    Kernel(kind="add", ns=(0, 0.2, 0, 0, 500.0)),
    Kernel(kind="relu", ns=(0, 0.1, 0, 0, 300.0)),
)
KERNELS = Kernels(runtime="made up", origin="made up", tail=1.0, error=(0.0, 0.0), rows=ROWS)


def probes(*names: str) -> list[Probe]:
    found = []
    for network in all_networks():
        if network.name.startswith(names):
            module, example = network.make()
            steps = steps_of(load_model(module.eval(), example))
            schemes = tuple("fp32" if step.layer else "" for step in steps)
            found.append(Probe(network.name, "fp32", Path("none"), steps, schemes, (), ()))
    return found


def kernels(rows: list[Kernel]) -> KernelTimes:
    return KernelTimes(KERNELS.model_copy(update={"rows": tuple(rows)}))


def test_the_fit_predicts_what_it_was_made_from() -> None:
    torch.manual_seed(0)
    made = probes("pointwise (", "conv2d (", "add (", "relu (")
    truth = {place: predicted(probe, KernelTimes(KERNELS)) for place, probe in enumerate(made)}
    fitted = kernels(fit_kernels(made, truth))
    for place, probe in enumerate(made):
        assert abs(predicted(probe, fitted) / truth[place] - 1) < 0.1, probe.network


def test_noise_is_averaged_out() -> None:
    torch.manual_seed(0)
    made, toss = probes("pointwise (", "conv2d ("), random.Random(0)
    truth = {place: predicted(probe, KernelTimes(KERNELS)) for place, probe in enumerate(made)}
    noisy = {place: time * toss.uniform(0.95, 1.1) for place, time in truth.items()}
    fitted = kernels(fit_kernels(made, noisy))
    gaps = sorted(abs(predicted(probe, fitted) / truth[place] - 1) for place, probe in enumerate(made))
    assert gaps[len(gaps) // 2] < 0.08


def test_what_did_not_run_has_no_kernel() -> None:
    made = probes("pointwise (", "conv2d (")
    known = {place: 1e6 for place, probe in enumerate(made) if probe.network.startswith("pointwise")}
    assert {row.kind for row in fit_kernels(made, known)} == {"pointwise", "layout", "passed"}


def test_streams_are_bytes_and_their_rate() -> None:
    made = probes("stream (512", "stream (1024")
    found = fit_stream(made, {place: 1e6 for place in range(len(made))})
    assert [size for size, _ in found] == sorted(4 * sum(step.weights for step in probe.steps) for probe in made)


def test_probes_come_back_from_disk(tmp_path: Path) -> None:
    probe = probes("pointwise (16")[0]
    file = tmp_path / "model.bin"
    file.write_bytes(b"artifact")
    kept = Probe(probe.network, "fp32", file, probe.steps, probe.schemes, (7,), ("float32:1x2",), True)
    (tmp_path / "entry").mkdir()
    save_probes([kept], tmp_path / "entry")
    found = load_probes(tmp_path / "entry")
    assert [(p.network, p.scheme, p.steps, p.converted, p.inputs) for p in found] == [
        (kept.network, kept.scheme, kept.steps, kept.converted, kept.inputs)
    ]
    assert found[0].file.read_bytes() == b"artifact"


def test_schemes_that_take_as_long_share_a_kernel() -> None:
    made = probes("pointwise (")
    truth = [predicted(probe, KernelTimes(KERNELS)) for probe in made]
    named = [[replace(probe, scheme=name, schemes=tuple(name if each else "" for each in probe.schemes)) for probe in made]
             for name in ("fp32", "fp16", "int4_channel")]  # fmt: skip
    toss = random.Random(1)
    factors = [toss.uniform(0.95, 1.05) for _ in (*made, *made)] + [3.0] * len(made)
    everything = [probe for each in named for probe in each]
    times = {place: time * factor for place, (time, factor) in enumerate(zip(truth * 3, factors, strict=True))}
    rows = {row.scheme: row for row in fit_kernels(everything, times) if row.kind == "pointwise"}
    assert rows["fp16"].ns == rows["fp32"].ns
    assert rows["int4_channel"].ns[0] > 2 * rows["fp32"].ns[0]


def test_a_kernel_outside_is_told_apart_behind_dynamic_layers_that_are_inside() -> None:
    inside, apart = ("pointwise", "int8_channel_dynamic"), ("depthwise", "int8_channel_dynamic")
    (network,) = (each for each in all_networks() if each.name.startswith("behind (96"))
    module, example = network.make()
    steps = steps_of(load_model(module.eval(), example))
    schemes = ["int8_channel_dynamic" if step.layer else "" for step in steps]
    kinds = [step.kind for step in placed(steps, schemes, {apart}) if step.calls]
    assert kinds.count("depthwise" + BEHIND) == 3 and "depthwise" not in kinds
    assert BEHIND not in "".join(step.kind for step in placed(steps, schemes, {inside, apart}))
    slow = KERNELS.model_copy(update={"rows": (
        *ROWS, Kernel(kind="depthwise", scheme=apart[1], ns=(1, 0, 0, 0, 0), outside=True),
        Kernel(kind="depthwise" + BEHIND, scheme=apart[1], ns=(3, 0, 0, 0, 0)),
    )})  # fmt: skip
    (one,) = {times for step in placed(steps, schemes, {apart}) if step.kind.endswith(BEHIND)
              for times in [KernelTimes(slow).step(step, apart[1]) / step.features((1, 1, 1))[0]]}  # fmt: skip
    assert one == 3
    assert KernelTimes(KERNELS.model_copy(update={"rows": slow.rows[:-1]})).step(
        next(step for step in placed(steps, schemes, {apart}) if step.kind.endswith(BEHIND)), apart[1]
    ) > 0  # fmt: skip
