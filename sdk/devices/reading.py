"""How a YAML file that a person wrote is read: strictly, and with its mistakes said in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from sdk.devices.explaining import explain, printable
from sdk.errors import BadInput

_LARGEST = 1_000_000
_DEEPEST = 50
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Model = TypeVar("_Model", bound=BaseModel)


def read_model(path: Path, model: type[_Model], label: str | None = None) -> _Model:
    """Return the `model` that the YAML file at `path` holds, or raise BadInput `file: field: value: mend`.

    `label` names the file in messages (by default its path).
    """
    label = printable(label or str(path))
    return parse_model(_text(path, label), model, label)


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
    except (RecursionError, ValueError):
        raise BadInput(f"{label}: holds a date or number out of range: put it in quotes or mend it") from None


def _text(path: Path, label: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except IsADirectoryError:
        raise BadInput(f"{label}: is a directory: name a YAML file") from None
    except (OSError, ValueError) as error:
        problem = (getattr(error, "strerror", None) or "not a file name").lower()
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
        field = f"{path}.{printable(key.value)}".lstrip(".")
        if key.value in names:
            first = names[key.value]
            raise BadInput(f"{label}: {field}: is given twice (lines {first} and {line}): keep one")
        if key.value == "<<":
            raise BadInput(f"{label}: {field}: merges another mapping (line {line}): write the values out")
        names[key.value] = line
        _strict(child, label, field, seen)


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "holds a character that YAML does not allow"
    place = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{place}{problem}: mend the YAML there"
