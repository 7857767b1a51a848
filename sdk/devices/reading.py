"""How a YAML file that a person wrote is read strictly, and how a mistake in it is said in one sentence."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from sdk.errors import BadInput

_LARGEST = 1_000_000
_DEEPEST = 50
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Model = TypeVar("_Model", bound=BaseModel)


def read_model(path: Path, model: type[_Model], label: str | None = None) -> _Model:
    """Return the `model` that the YAML file at `path` holds, or raise BadInput `file: field: value: mend`.

    `label` names the file in messages (by default its path).
    """
    return parse_model(_text(path, label or str(path)), model, label or str(path))


def parse_model(text: str, model: type[_Model], label: str) -> _Model:
    """Return the `model` that the YAML `text` holds; `label` names the text in the message of a BadInput."""
    data = parse_mapping(text, label)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise BadInput(f"{label}: {explain(error, model)}") from None


def parse_mapping(text: str, label: str) -> dict[str, Any]:
    """Return the mapping that the YAML `text` holds: no key twice, no anchors, no tags of other types."""
    try:
        root = yaml.compose(text, Loader=_Loader)
        if not isinstance(root, yaml.MappingNode):
            raise BadInput(f"{label}: is not a YAML mapping: write lines such as `name: value`")
        _strict(root, label, "", set())
        return dict(yaml.load(text, Loader=_Loader))
    except yaml.YAMLError as error:
        raise BadInput(f"{label}: {_yaml_problem(error)}") from None
    except (RecursionError, ValueError) as error:
        raise BadInput(f"{label}: is not readable YAML: {str(error).splitlines()[0]}") from None


def _text(path: Path, label: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except IsADirectoryError:
        raise BadInput(f"{label}: is a directory: name a YAML file") from None
    except OSError as error:
        problem = (error.strerror or "error").lower()
        raise BadInput(f"{label}: cannot be read ({problem}): name a readable YAML file") from None
    if len(raw) > _LARGEST:
        raise BadInput(f"{label}: is over {_LARGEST} bytes: this is not such a file")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{label}: is not UTF-8 text: name a YAML file") from None


def _strict(node: yaml.Node, label: str, path: str, seen: set[int]) -> None:
    line = node.start_mark.line + 1
    if id(node) in seen:
        raise BadInput(f"{label}: line {line}: {path or 'file'}: uses a YAML alias: write the value out")
    seen.add(id(node))
    if path.count(".") + path.count("[") > _DEEPEST:
        raise BadInput(f"{label}: line {line}: nests deeper than {_DEEPEST} levels")
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _strict(child, label, f"{path}[{index}]", seen)
    if isinstance(node, yaml.MappingNode):
        _strict_mapping(node, label, path, seen)


def _strict_mapping(node: yaml.MappingNode, label: str, path: str, seen: set[int]) -> None:
    names: dict[str, int] = {}
    for key, child in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise BadInput(f"{label}: line {line}: a key must be one word")
        field = f"{path}.{key.value}".lstrip(".")
        if key.value in names:
            first = names[key.value]
            raise BadInput(f"{label}: {field}: is given twice (lines {first} and {line}): keep one")
        if key.value == "<<":
            raise BadInput(f"{label}: {field}: merges another mapping (line {line}): write the values out")
        names[key.value] = line
        _strict(child, label, field, seen)


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "is not readable YAML"
    place = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{place}{problem}: mend the YAML there"


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say the first thing that is wrong as `field: value: mend`, with the nearest key for an unknown one."""
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    steps = first["loc"]
    field = _dotted(steps)
    if first["type"] == "extra_forbidden":
        known = sorted(_keys(_descend(model, steps[:-1])))
        near = get_close_matches(str(steps[-1]), known, n=1, cutoff=0.5)
        mend = f"did you mean {near[0]!r}?" if near else f"use one of {known}"
        return f"{field}: is an unknown key: {mend}"
    if first["type"] == "missing":
        return f"{field}: is missing: add it{_missing_mend(steps)}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:] if message[:1].isupper() else message
    if first["type"] == "value_error" and not isinstance(first["input"], str | int | float):
        return f"{field}: {message}" if field else message
    return f"{field}: {_shown(first['input'])}: {message}"


def _missing_mend(steps: tuple[int | str, ...]) -> str:
    if steps[-1] == "source":
        return " (where this value was found)"
    return " beside its source" if steps[-1] == "value" else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _dotted(steps: tuple[int | str, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def _descend(annotation: Any, steps: tuple[int | str, ...]) -> Any:
    annotation = _bare(annotation)
    if not steps:
        return annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        named = {info.alias or name: info for name, info in annotation.model_fields.items()}
        return _descend(named[str(steps[0])].annotation, steps[1:]) if steps[0] in named else None
    inner = [each for each in get_args(annotation) if each is not Ellipsis]
    return _descend(inner[-1], steps[1:]) if inner else None


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    return annotation


def _keys(annotation: Any) -> set[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {info.alias or name for name, info in annotation.model_fields.items()}
    return set()
