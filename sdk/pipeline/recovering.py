"""Request with a plan → trained grids in a file that `package` takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdk.cache import Cache, code_digest, key_of, versions
from sdk.errors import BadInput
from sdk.files import write_whole
from sdk.lowering import Quantized
from sdk.models.samples import Samples, take_samples
from sdk.pipeline.kept import QUANTIZING
from sdk.pipeline.planning import plan_request
from sdk.pipeline.request import Request
from sdk.pipeline.sources import read_calibration
from sdk.pipeline.together import quantized_by
from sdk.progress import Reporter
from sdk.recovery import STEPS, Recovery, State, describe_recovery, recover, recovery_bytes

MOST = 4096
"""Training samples that are read at most."""

_TENSORS = "state.safetensors"


def recover_request(
    request: Request, data: Iterable[Any] | str | None, out: Path, report: Reporter, steps: int | None = None
) -> Recovery:
    """Train the grids of `request`'s plan towards the float model and write them to `out`; return what the file says.

    `data` are training inputs as for calibration, which they are by default. An interrupted training goes on from the
    cache. BadInput, Missing and BudgetError as for planning.
    """
    if request.plan is None:
        raise BadInput("recover: which plan? add --plan FILE; `sdk plan --out FILE` writes one")
    steps = STEPS if steps is None else steps
    if steps < 1:
        raise BadInput(f"--steps: {steps}: at least 1")
    planned = plan_request(request, report)
    bench = planned.workbench
    samples = bench.taken
    if data is not None:
        samples = take_samples(bench.model, bench.windowed(read_calibration(replace(request, calibration=data), MOST)), MOST)
    if samples.origin != "given":
        raise BadInput("recover: there is no data to train on: add --data REF, or `calibration` to sdk.yaml")
    quantized = quantized_by(planned.plan, bench, report)
    key = _key(planned.plan.schemes, bench.model.digest, bench.samples, samples, bench.loss, steps)
    found = _train(quantized, samples, bench.loss, steps, key, report)
    write_whole(out, recovery_bytes(found, quantized, bench.loss, samples.digest, len(samples), steps))
    return describe_recovery(out)


def _key(schemes: Any, model: str, calibration: Samples, samples: Samples, loss: str, steps: int) -> str:
    code = code_digest(*QUANTIZING, "sdk.recovery")
    tools = versions("torch", "torchao")
    return key_of("recovery", model, dict(sorted(schemes.items())), calibration.digest, samples.digest, loss, steps, tools, code)


def _train(quantized: Quantized, samples: Samples, loss: str, steps: int, key: str, report: Reporter) -> Any:
    cache = Cache()
    known = cache.read("recovery", key, _load)

    def keep(state: State) -> None:
        cache.change("recovery", key, load=_load, grow=lambda old: state, save=_save)

    with report.stage("recover", steps) as stage:
        for _ in range(int(known["step"][0]) if known else 0):
            stage.step("kept from an earlier run")
        return recover(
            quantized, samples, loss, steps, resume=known,
            keep=keep, tick=lambda value: stage.step(f"{loss} {value:.4g}"),
        )


def _load(folder: Path) -> State:
    from safetensors.torch import load

    return dict(load((folder / _TENSORS).read_bytes()))


def _save(state: State, folder: Path) -> None:
    from safetensors.torch import save

    (folder / _TENSORS).write_bytes(save(state))
