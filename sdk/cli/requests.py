"""Flags and project file → requests: checked completely before anything heavy is imported."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdk.config import FILE, LOSSES, Project, is_path, load_project, project_file
from sdk.errors import BadInput

if TYPE_CHECKING:
    from sdk.pipeline import Request
    from sdk.progress import Reporter

_DROPPED = {"--out": 1, "-o": 1, "--json": 0, "--project": 1}
"""Options that do not change what is made: option → values that follow it."""


def build_requests(
    flags: dict[str, Any], out: str | None, plan: str | None, recovered: str | None = None
) -> list[Request]:
    """Return one request per device and target; flags win over the project file. BadInput."""
    project = load_project(Path(flags["project"]) if flags["project"] else None)
    whole = replace(whole_request(flags, project, plan), recovered=Path(recovered) if recovered else None)
    devices = split(flags["devices"]) or project.devices or ()
    requests = _each(whole, devices, split(flags["targets"]) or project.target or ("auto",))
    return _placed(requests, project.out if out is None else out)


def whole_request(flags: dict[str, Any], project: Project, plan: str | None) -> Request:
    """Return what is asked for whatever the device and target. BadInput."""
    from sdk.bundles import sha256_file
    from sdk.pipeline import Request

    file = project_file(Path(flags["project"]) if flags["project"] else None)
    model = flags["model"] or project.model
    if model is None:
        raise BadInput(f"which model? name one (`sdk package model.py:factory`) or write {FILE} with `sdk init`")
    _check_choice("--uniform", flags["uniform"], _presets())
    if ":" not in (flags["loss"] or ""):
        _check_choice("--loss", flags["loss"], LOSSES)
    if flags["uniform"] and plan:
        raise BadInput("--plan and --uniform contradict each other: both decide every layer, give one")
    if not is_path(model) and ":" in model:
        _importable(flags["project"])
    budgets = _budgets(flags, project, plan)
    return Request(
        model=model,
        device="",
        example=None,
        accelerator=flags["accelerator"] or project.accelerator,
        min_os=flags["min_os"] or project.min_os,
        uniform=flags["uniform"],
        plan=Path(plan) if plan else None,
        calibration=flags["calibration"] or project.calibration,
        metric=flags["metric"] or project.metric,
        loss=flags["loss"] or project.loss,
        context=flags["context"],
        effort=flags["effort"],
        objective=flags["objective"],
        trust=project.trust if flags["trust"] is None else flags["trust"],
        command=command_line(sys.argv),
        project_sha256=sha256_file(file) if file else None,
        **budgets,
    )


def _budgets(flags: dict[str, Any], project: Project, plan: str | None) -> dict[str, Any]:
    """The flags' budgets, or the file's when the flags say nothing of budgets or recipe."""
    names = ("max_size", "max_loss", "max_memory", "max_latency")
    given = {name: flags[name] for name in names}
    if any(v is not None for v in given.values()) or flags["uniform"] or plan:
        return given
    return {name: getattr(project.budgets, name) for name in names}


def _presets() -> Sequence[str]:
    from sdk.planning.presets import PRESETS

    return tuple(PRESETS)


def _check_choice(option: str, value: str | None, known: Iterable[str]) -> None:
    known = tuple(known)
    if value is None or value in known:
        return
    near = difflib.get_close_matches(value.lower(), known, n=1, cutoff=0.4)
    meant = f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(known)}"
    raise BadInput(f"{option}: {value[:60]!r} is unknown: {meant}")


def _importable(project: str | None) -> None:
    """Let `pkg.mod:factory` be found next to the project file, as `python -m` would."""
    path = Path(project) if project else Path()
    folder = str((path if path.is_dir() else path.parent).resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)


def split(values: Sequence[str]) -> tuple[str, ...]:
    """Names given several times, or with commas between, each once."""
    return tuple(dict.fromkeys(part.strip() for value in values for part in value.split(",") if part.strip()))


def _each(whole: Request, devices: Sequence[str], targets: Sequence[str]) -> list[Request]:
    """Resolve devices and targets by name; `auto` and a name may mean the same target, which is packaged once."""
    from sdk.pipeline.planning import start
    from sdk.progress import SilentReporter

    if not devices:
        raise BadInput("which device? give --device NAME, or `devices` in sdk.yaml; `sdk devices list` shows all")
    found: dict[tuple[str, str], Request] = {}
    for device in devices:
        for target in targets:
            request = replace(whole, device=device, target=target)
            profile, resolved, _ = start(request, SilentReporter())
            found.setdefault((profile.name, resolved.name), replace(request, target=resolved.name))
    return list(found.values())


def _placed(requests: list[Request], out: str | None) -> list[Request]:
    """One bundle goes to --out itself, several into folders of it named by device and target."""
    from sdk.bundles import check_writable

    if out is None:
        check_writable(Path("dist") / "bundle")
        return requests
    if len(requests) > 1:
        requests = [replace(r, out=Path(out) / _folder(r)) for r in requests]
    else:
        requests = [replace(requests[0], out=Path(out))]
    for request in requests:
        assert request.out is not None
        check_writable(request.out)
    return requests


def _folder(request: Request) -> str:
    kind = f"-{request.accelerator}" if request.accelerator in ("gpu", "npu") else ""
    return f"{_word(request.device)}-{request.target}{kind}"


def _word(device: str) -> str:
    from sdk.devices import find_device

    return find_device(device).name


def with_inputs(requests: list[Request], reference: str | None, project: str | None) -> list[Request]:
    """Call the `inputs` function of flags or project, if any; a wrong `metric` is found here, before the work."""
    from sdk.models.references import call_inputs
    from sdk.pipeline.metrics import load_metric

    if requests[0].metric is not None:
        load_metric(requests[0])
    reference = reference or load_project(Path(project) if project else None).inputs
    if reference is None:
        return requests
    example = call_inputs(reference)
    return [replace(request, example=example) for request in requests]


def shared_workbench(requests: list[Request], report: Reporter) -> Any:
    """Load the model once for all requests."""
    from sdk.pipeline import Workbench

    return Workbench(requests[0], report)


def command_line(argv: Sequence[str]) -> str:
    """Return the command that makes the same artifact: no output place, no absolute path."""
    from sdk.pipeline.command import without_place

    words, skip = [], 0
    for word in argv[1:]:
        name, equals, _ = word.partition("=")
        if skip:
            skip -= 1
        elif name in _DROPPED:
            skip = 0 if equals else _DROPPED[name]
        else:
            words.append(without_place(word))
    return shlex.join(["sdk", *words])


def load_inventory(model: str | None, inputs: str | None, project: str | None, trust: bool | None) -> Any:
    """Load the model of the flags or the project file, for `sdk inspect`."""
    from sdk.models.load import load_model
    from sdk.models.references import call_inputs

    file = load_project(Path(project) if project else None)
    model = model or file.model
    if model is None:
        raise BadInput(f"which model? name one (`sdk inspect model.py:factory`) or write {FILE} with `sdk init`")
    if not is_path(model) and ":" in model:
        _importable(project)
    inputs = inputs or file.inputs
    return load_model(model, call_inputs(inputs) if inputs else None, trust=file.trust if trust is None else trust)
