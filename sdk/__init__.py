"""On-device mobile packaging: plan, lower, verify; the Python API with the words of the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sdk.bundles import Bundle
    from sdk.pipeline import Request
    from sdk.planning import Plan
    from sdk.recovery import Recovery
    from sdk.release.fleet import FleetFile, FleetManifest

T = TypeVar("T")

__all__ = ["open_bundle", "package", "package_fleet", "plan", "recover"]


def package(
    model: Any,
    *,
    device: str,
    target: str = "auto",
    accelerator: str | None = None,
    max_size: int | str | None = None,
    max_loss: float | None = None,
    max_memory: int | str | None = None,
    max_latency: float | None = None,
    uniform: str | None = None,
    plan: str | Path | Plan | None = None,
    recovered: str | Path | None = None,
    calibration: Iterable[Any] | str | None = None,
    metric: Callable[[Callable[..., Any]], float] | str | None = None,
    loss: str | Callable[..., Any] = "auto",
    inputs: Any = None,
    min_os: float | None = None,
    out: str | Path | None = None,
    name: str | None = None,
    trust: bool = False,
    context: int | None = None,
    effort: str = "quick",
    objective: str | None = None,
) -> Bundle:
    """Plan, lower and execute `model` for `device`, write the bundle (`out`) and return it.

    `model` is a module, an exported program or a reference (`file.py:factory`, `net.pt2`, a Hugging Face directory);
    `accelerator` cpu, gpu, npu or auto, as the device's profile allows; `max_size` bytes or "6MB"; `max_memory` the same of
    predicted peak memory; `max_latency` ms of predicted latency; `calibration` an iterable of input tuples; `metric(run) ->
    float`, higher is better, is called with the float model, the quantized model and the artifact; `loss` a name or
    `loss(reference, outputs) -> tensor`, which a plan is chosen by; `inputs` are example inputs, by default the first
    calibration sample; `plan` a plan or its file, `recovered` what `recover` wrote for it; `out` is by default
    `dist/<model>-<device>-<target>`; `context`: tokens that a language model's bundle holds; `effort`: `quick`, `standard` or
    `thorough`, how many plans are tried in torch before one is lowered; `objective`: `quality`, `smallest`, `fastest` or
    `least-memory`, by default as the limits ask for.
    Raises sdk.errors: BadInput, Missing, BudgetError (with a counter-offer), LoweringError, CheckFailed; then nothing is left.
    """
    asked = {
        "device": device, "target": target, "accelerator": accelerator, "max_size": max_size, "max_loss": max_loss,
        "max_memory": max_memory, "max_latency": max_latency, "uniform": uniform, "effort": effort, "objective": objective,
    }  # fmt: skip
    request = _request(
        model, **asked, calibration=calibration, metric=metric, loss=loss, example=inputs, min_os=min_os, name=name, trust=trust,
        context=context, out=None if out is None else Path(out), recovered=None if recovered is None else Path(recovered),
        command=_call("package", model, name, asked),
    )  # fmt: skip
    return _with_plan(request, plan, _packaged)


def plan(
    model: Any,
    *,
    device: str,
    target: str = "auto",
    accelerator: str | None = None,
    max_size: int | str | None = None,
    max_loss: float | None = None,
    max_memory: int | str | None = None,
    max_latency: float | None = None,
    uniform: str | None = None,
    calibration: Iterable[Any] | str | None = None,
    loss: str | Callable[..., Any] = "auto",
    inputs: Any = None,
    min_os: float | None = None,
    name: str | None = None,
    trust: bool = False,
    context: int | None = None,
    effort: str = "quick",
    objective: str | None = None,
) -> Plan:
    """Choose a scheme for every layer of `model` and return the plan; the arguments are those of `package`."""
    from sdk.pipeline import make_plan
    from sdk.progress import SilentReporter

    request = _request(
        model, device=device, target=target, accelerator=accelerator, max_size=max_size, max_loss=max_loss,
        max_memory=max_memory, max_latency=max_latency, uniform=uniform,
        calibration=calibration, loss=loss, example=inputs, min_os=min_os, name=name, trust=trust,
        context=context, effort=effort, objective=objective,
    )  # fmt: skip
    return make_plan(request, SilentReporter()).plan


def package_fleet(
    model: Any,
    *,
    devices: Iterable[str] = (),
    fleet: str | Path | None = None,
    max_variants: int | None = None,
    target: str = "auto",
    max_size: int | str | None = None,
    max_loss: float | None = None,
    calibration: Iterable[Any] | str | None = None,
    loss: str | Callable[..., Any] = "auto",
    inputs: Any = None,
    out: str | Path | None = None,
    name: str | None = None,
    trust: bool = False,
) -> FleetManifest:
    """Package the few variants of `model` that serve `devices` (or those of the file `fleet`) best, and return `fleet.json`.

    At most `max_variants`, by default those of the file, or 4. `out` is by default `dist/<model>-fleet`; the other
    arguments and the errors are those of `package`. BudgetError names a device that nothing fits.
    """
    from sdk.pipeline import Workbench
    from sdk.progress import SilentReporter
    from sdk.release import fleet as fleets

    file = _fleet(tuple(devices), fleet, max_variants)
    said = {
        "devices": list(devices) or None, "fleet": fleet and Path(fleet).name, "max_variants": max_variants, "max_size": max_size,
    }  # fmt: skip
    request = _request(
        model, device="", max_size=max_size, max_loss=max_loss, calibration=calibration, loss=loss,
        example=inputs, name=name, trust=trust, command=_call("package_fleet", model, name, said),
    )  # fmt: skip
    members = fleets.members_of(file, request, (target,))
    bench = Workbench(request, report := SilentReporter())
    place = Path(out) if out is not None else Path("dist") / f"{bench.model.name}-fleet"
    fleets.check_place(place)
    chooser = fleets.chooser_of(file, members, bench, report)
    return fleets.package_fleet(chooser, file.max_variants, request, place, report, bench)


def recover(
    model: Any,
    *,
    plan: str | Path | Plan,
    device: str,
    out: str | Path,
    target: str = "auto",
    data: Iterable[Any] | str | None = None,
    steps: int | None = None,
    calibration: Iterable[Any] | str | None = None,
    loss: str | Callable[..., Any] = "auto",
    inputs: Any = None,
    min_os: float | None = None,
    name: str | None = None,
    trust: bool = False,
) -> Recovery:
    """Train all that `plan` stores towards the float model and write it to the file `out`.

    `data` is an iterable of training inputs (no labels), by default the calibration; the result says the mean loss
    `before` and `after` on the samples held out. `package(plan=plan, recovered=out)` makes the bundle, of the same bytes.
    """
    from sdk.pipeline import recover as run
    from sdk.progress import SilentReporter

    request = _request(
        model, device=device, target=target, max_size=None, calibration=calibration, loss=loss, example=inputs,
        min_os=min_os, name=name, trust=trust,
    )  # fmt: skip
    return _with_plan(request, plan, lambda whole: run(whole, data, Path(out), SilentReporter(), steps))


def open_bundle(path: str | Path) -> Bundle:
    """Open a finished bundle: `run(*inputs)`, `manifest`, `path`, `plan`."""
    from sdk.bundles import open_bundle as read

    return read(path)


def _call(verb: str, model: Any, name: str | None, said: dict[str, Any]) -> str:
    """The call as the manifest keeps it: what was said besides the defaults."""
    words = "".join(f", {key}={value!r}" for key, value in said.items() if value not in (None, "auto", "quick"))
    return f"sdk.{verb}({_named(model, name)!r}{words})"


def _named(model: Any, name: str | None) -> str:
    """How a command says which model it was, without a place of this machine."""
    return model if isinstance(model, str) and not Path(model).is_absolute() else name or type(model).__name__


def _fleet(devices: tuple[str, ...], file: str | Path | None, most: int | None) -> FleetFile:
    from sdk.errors import BadInput
    from sdk.release.fleet import even_fleet, load_fleet

    if (file is None) == (not devices):
        raise BadInput("package_fleet: give either devices or fleet, the file that names them")
    if most is not None and most < 1:
        raise BadInput(f"package_fleet: max_variants: {most}: at least 1 is needed")
    made = load_fleet(Path(file)) if file is not None else even_fleet(devices)
    return made if most is None else made.model_copy(update={"max_variants": most})


def _request(model: Any, **words: Any) -> Request:
    from sdk.errors import BadInput
    from sdk.pipeline import Request
    from sdk.pipeline.refining import TRIALS
    from sdk.units import parse_size

    effort = words.get("effort", "quick")
    if effort not in TRIALS:
        raise BadInput(f"effort: {effort!r}: is one of {', '.join(TRIALS)}")
    for name in ("max_size", "max_memory"):
        size = words.get(name)
        if size is not None:
            whole = isinstance(size, int) and not isinstance(size, bool) and size > 0
            words[name] = size if whole else parse_size(size)  # an int of Python's can only mean bytes
    for name in ("max_loss", "max_latency"):
        number = words.get(name)
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
            raise BadInput(f"{name}: {number!r}: must be a number")
    return Request(model=model, **words)


def _packaged(request: Request) -> Bundle:
    """Package without a word."""
    from sdk.pipeline import package
    from sdk.progress import SilentReporter

    return package(request, SilentReporter())


def _with_plan(request: Request, plan: str | Path | Plan | None, run: Callable[[Request], T]) -> T:
    """Run with the plan's file; a plan in memory becomes a temporary one."""
    import tempfile
    from dataclasses import replace

    if plan is None:
        return run(request)
    if isinstance(plan, str | Path):
        return run(replace(request, plan=Path(plan)))
    from sdk.planning import plan_text

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.yaml"
        path.write_text(plan_text(plan), encoding="utf-8")
        return run(replace(request, plan=path))
