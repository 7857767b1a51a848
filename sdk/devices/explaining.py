"""How a mistake in a file is said: one sentence, `field: value: mend`, from what pydantic found."""

from __future__ import annotations

from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

_MENDS = {
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "finite_number": "write a finite number",
    "string_type": "write text, in quotes where it looks like a number",
    "string_too_short": "write something here or leave the key out",
    "string_pattern_mismatch": "use lower-case letters, digits and single underscores",
    "too_short": "list at least one",
    "tuple_type": "write a list, such as [one, two]",
    "dict_type": "write a mapping of names to values",
    "greater_than": "write a number above {gt}",
    "greater_than_equal": "write a number of {ge} or more",
    "less_than_equal": "write a number of {le} or less",
}
"""pydantic's name of an error → what to do."""


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say the first thing that is wrong as `field: value: mend`, with the nearest key for an unknown one."""
    first: Any = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    steps, field, kind = first["loc"], _dotted(first["loc"]), first["type"]
    if kind == "extra_forbidden":
        known = sorted(_keys(_descend(model, steps[:-1])))
        near = get_close_matches(str(steps[-1]), known, n=1, cutoff=0.5)
        mend = f"did you mean {near[0]!r}?" if near else f"use one of {known}"
        return f"{field}: is an unknown key: {mend}"
    if kind == "missing":
        return f"{field}: is missing: add it{_missing_mend(steps)}"
    if kind == "value_error" and not isinstance(first["input"], str | int | float):
        return f"{field}: {_message(first)}".removeprefix(": ")
    return f"{field}: {_shown(first['input'])}: {_mend(first, _descend(model, steps))}"


def _mend(first: Any, expected: Any) -> str:
    if first["type"] == "literal_error":
        return _choose(first["input"], [str(each) for each in get_args(expected)])
    if first["type"] in ("model_type", "model_attributes_type"):
        keys = _keys(expected)
        if {"value", "source"} <= keys:
            return "write a fact, such as {value: ..., source: ...}"
        return f"write a mapping with keys of {sorted(keys)}"
    known = _MENDS.get(first["type"])
    return known.format(**first.get("ctx", {})) if known else _message(first)


def _choose(value: object, choices: list[str]) -> str:
    near = get_close_matches(str(value), choices, n=1, cutoff=0.5)
    return (f"did you mean {near[0]!r}? " if near else "") + f"use one of {', '.join(choices)}"


def _message(first: Any) -> str:
    text = str(first["msg"]).removeprefix("Value error, ")
    return text[0].lower() + text[1:] if text.startswith("Input") else text


def _missing_mend(steps: tuple[int | str, ...]) -> str:
    if steps[-1] == "source":
        return " (where this value was found)"
    return " beside its source" if steps[-1] == "value" else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _dotted(steps: tuple[int | str, ...]) -> str:
    parts = (f"[{step}]" if isinstance(step, int) else f".{printable(step)}" for step in steps)
    return "".join(parts).lstrip(".")


def printable(text: str) -> str:
    """Return `text` with what a terminal would not show as one line written as escapes."""
    return text if text.isprintable() else repr(text)[1:-1]


def _descend(annotation: Any, steps: tuple[int | str, ...]) -> Any:
    annotation = _bare(annotation)
    if not steps:
        return annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        named = {info.alias or name: info for name, info in annotation.model_fields.items()}
        return _descend(named[str(steps[0])].annotation, steps[1:]) if steps[0] in named else None
    if get_origin(annotation) is Literal:
        return annotation
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
