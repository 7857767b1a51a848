"""The plan as YAML: deterministic to write, strict to read, made for reviewing and editing by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from sdk.errors import BadInput
from sdk.files import write_whole
from sdk.planning.names import did_you_mean
from sdk.planning.objectives import all_objectives
from sdk.planning.plan import SCHEMA, Budgets, Calibration, Line, ModelId, Plan, Predicted
from sdk.planning.presets import PRESETS
from sdk.schemes import all_schemes

_INTRO = "# One line per layer. `scheme` may be edited by hand: bytes, loss and limits are checked again.\n"
_MOST_BYTES = 64_000_000
_PARTS: dict[str, type[BaseModel]] = {
    "model": ModelId, "calibration": Calibration, "budgets": Budgets, "predicted": Predicted, "layers": Line,
}  # fmt: skip


def plan_text(plan: Plan) -> str:
    """Return the YAML of `plan`: a header, then one flow-style line per layer. Same plan, same text."""
    data = plan.model_dump(mode="json")
    lines = data.pop("layers")
    header = _dump(data, flow=None)
    body = "".join("- " + _dump(line, flow=True) for line in lines)
    return _INTRO + header + ("layers:\n" + body if lines else "layers: []\n")


def write_plan(plan: Plan, path: Path) -> None:
    """Write `plan` to `path` whole or not at all; BadInput when the place cannot be written."""
    write_whole(path, plan_text(plan))


def read_plan(path: Path) -> Plan:
    """Read a plan file; BadInput says in one sentence what is wrong, where, and what would work."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise BadInput(f"{path}: is {path.stat().st_size:,} bytes, too big for a plan")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}): name one made by `sdk plan`") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is not UTF-8 text: name a plan made by `sdk plan`") from error
    return parse_plan(text, str(path))


def parse_plan(text: str, source: str) -> Plan:
    """Read a plan from `text`; `source` names it in errors. BadInput as `read_plan`."""
    data = _load(text, source)
    if not isinstance(data, dict):
        raise BadInput(f"{source}: is not a plan: it must hold a header and `layers`")
    schema = data.get("schema_version", SCHEMA)
    if schema != SCHEMA:
        raise BadInput(f"{source}: schema_version: {schema!r}: this sdk reads {SCHEMA}: plan again")
    try:
        plan = Plan.model_validate(data)
    except ValidationError as error:
        raise BadInput(_sentence(source, data, error)) from error
    _check(plan, source)
    return plan


def _check(plan: Plan, source: str) -> None:
    objectives = [*all_objectives(), *(f"uniform {preset}" for preset in PRESETS)]
    if plan.objective not in objectives:
        near = did_you_mean(plan.objective, objectives)
        raise BadInput(f"{source}: objective: {plan.objective!r}: is none of {', '.join(objectives)}{near}")
    counts = Counter(line.layer for line in plan.layers)
    twice = [layer for layer, count in counts.items() if count > 1]
    if twice:
        raise BadInput(f"{source}: layers: {twice[0]!r}: is there {counts[twice[0]]} times: keep one line")
    for line in plan.layers:
        if line.scheme not in all_schemes():
            near = did_you_mean(line.scheme, all_schemes())
            raise BadInput(f"{source}: layers: {line.layer}: scheme: {line.scheme!r}: no such scheme{near}")


class _Dumper(yaml.SafeDumper):
    """Never writes an alias, and keeps a layer on one line whatever its name: each line stands for itself."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> Any:
        style = None if data.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def _dump(value: Any, *, flow: bool | None) -> str:
    out = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=flow,
        sort_keys=False,
        width=float("inf"),
        allow_unicode=True,
    )
    return str(out)


class _Loader(yaml.SafeLoader):
    """Refuses what a plan never needs and a reader would misread: aliases and repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or name in seen:
                problem = f"key {name!r} is there twice" if name is not None else "a key must be a word"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def _load(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}" if mark else "somewhere"
        raise BadInput(f"{source}: {where}: is not valid YAML for a plan: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{source}: is not valid YAML: {str(error).splitlines()[0][:120]}") from error


def _sentence(source: str, data: Any, error: ValidationError) -> str:
    """Turn the first problem that pydantic found into file: field: value: mend."""
    errors = error.errors()
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    where = ": ".join([source, *_location(data, first["loc"])])
    if first["type"] == "missing":
        return f"{where}: is missing"
    if first["type"] == "extra_forbidden":
        known = _fields(first["loc"])
        return f"{where}: is no known key{did_you_mean(str(first['loc'][-1]), known) or ': remove it'}"
    value, message = repr(first["input"]), first["msg"].removeprefix("Value error, ")
    return f"{where}: {value[:60]}: {message[:1].lower()}{message[1:]}"


def _location(data: Any, loc: tuple[int | str, ...]) -> list[str]:
    """Name a layer's line by its layer, where it has one, else by its number from 1."""
    if len(loc) > 1 and loc[0] == "layers" and isinstance(loc[1], int):
        line = data["layers"][loc[1]]
        name = line.get("layer") if isinstance(line, dict) else None
        return ["layers", str(name) if name else f"line {loc[1] + 1}", *map(str, loc[2:])]
    return [".".join(map(str, loc))]


def _fields(loc: tuple[int | str, ...]) -> list[str]:
    part = _PARTS.get(str(loc[0])) if len(loc) > 1 else Plan
    return list((part or Plan).model_fields)
