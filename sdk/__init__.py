"""On-device mobile packaging: plan, lower, verify; the Python API with the words of the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdk.bundles import Bundle
    from sdk.pipeline import Request
    from sdk.planning import Plan

__all__ = ["open_bundle", "package", "plan"]


def package(
    model: Any,
    *,
    device: str,
    target: str = "auto",
    max_size: int | str | None = None,
    max_loss: float | None = None,
    uniform: str | None = None,
    plan: str | Path | Plan | None = None,
    calibration: Iterable[Any] | str | None = None,
    metric: Callable[[Callable[..., Any]], float] | str | None = None,
    loss: str = "auto",
    inputs: Any = None,
    min_os: float | None = None,
    out: str | Path | None = None,
    name: str | None = None,
    trust: bool = False,
) -> Bundle:
    """Plan, lower and execute `model` for `device`, write the bundle (`out`) and return it.

    `model` is a module, an exported program or a reference (`file.py:factory`, `net.pt2`, a Hugging Face
    directory); `max_size` bytes or "6MB"; `calibration` an iterable of input tuples; `metric(run) -> float`, higher
    is better, is called with the float model, the quantized model and the artifact; `inputs` are example inputs, by
    default the first calibration sample; `plan` a plan or its file; `out` is by default
    `dist/<model>-<device>-<target>`. Raises sdk.errors: BadInput, Missing, BudgetError (with a counter-offer),
    LoweringError, CheckFailed. Nothing is left when it fails.
    """
    from sdk.pipeline import package as run
    from sdk.progress import SilentReporter

    said = {"device": device, "target": target, "max_size": max_size, "max_loss": max_loss, "uniform": uniform}
    command = "".join(f", {key}={value!r}" for key, value in said.items() if value not in (None, "auto"))
    named = model if isinstance(model, str) and not Path(model).is_absolute() else name or type(model).__name__
    request = _request(
        model, device=device, target=target, max_size=max_size, max_loss=max_loss, uniform=uniform,
        calibration=calibration, metric=metric, loss=loss, example=inputs, min_os=min_os,
        out=Path(out) if out is not None else None, name=name, trust=trust,
        command=f"sdk.package({named!r}{command})",
    )  # fmt: skip
    return _with_plan(request, plan, lambda whole: run(whole, SilentReporter()))


def plan(
    model: Any,
    *,
    device: str,
    target: str = "auto",
    max_size: int | str | None = None,
    max_loss: float | None = None,
    uniform: str | None = None,
    calibration: Iterable[Any] | str | None = None,
    loss: str = "auto",
    inputs: Any = None,
    min_os: float | None = None,
    name: str | None = None,
    trust: bool = False,
) -> Plan:
    """Choose a scheme for every layer of `model` and return the plan; the arguments are those of `package`."""
    from sdk.pipeline import make_plan
    from sdk.progress import SilentReporter

    request = _request(
        model, device=device, target=target, max_size=max_size, max_loss=max_loss, uniform=uniform,
        calibration=calibration, loss=loss, example=inputs, min_os=min_os, name=name, trust=trust,
    )  # fmt: skip
    return make_plan(request, SilentReporter()).plan


def open_bundle(path: str | Path) -> Bundle:
    """Open a finished bundle: `run(*inputs)`, `manifest`, `path`, `plan`."""
    from sdk.bundles import open_bundle as read

    return read(path)


def _request(model: Any, **words: Any) -> Request:
    from sdk.pipeline import Request
    from sdk.units import parse_size

    if words["max_size"] is not None:
        words["max_size"] = parse_size(words["max_size"])
    return Request(model=model, **words)


def _with_plan(request: Request, plan: str | Path | Plan | None, run: Callable[[Request], Bundle]) -> Bundle:
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
