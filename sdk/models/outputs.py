"""Names a model's outputs after the structure that it returns: keys of dicts, fields of tuples, else positions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Steps = tuple[str | int, ...]
"""Keys and positions from the returned object down to one tensor."""


def output_names(program: Any, inputs: tuple[str, ...]) -> tuple[str, ...]:
    """Return a name for every tensor that an ExportedProgram returns, in order.

    `{"boxes": b, "scores": s}` gives `boxes`, `scores`, a tuple `output_0`, `output_1`, one tensor `output`. Names are
    identifiers, distinct among themselves and from `inputs` (an equal one gets `_out` behind it).
    """
    specs = [spec for spec in program.graph_signature.output_specs if spec.kind.name == "USER_OUTPUT"]
    tensors = [type(spec.arg).__name__ == "TensorArgument" for spec in specs]
    paths = list(_paths(program.call_spec.out_spec, ()))
    kept = [path for path, is_tensor in zip(paths, tensors, strict=True) if is_tensor]
    names: list[str] = []
    for index, path in enumerate(kept):
        name = _name(path, index, len(kept))
        while name in names or name in inputs:
            name += "_out"
        names.append(name)
    return tuple(names)


def _name(path: Steps, index: int, count: int) -> str:
    if not any(isinstance(step, str) for step in path):
        return f"output_{index}" if count > 1 else "output"
    name = re.sub(r"\W", "_", "_".join(map(str, path)), flags=re.ASCII)
    return name if name[:1].isalpha() else f"output_{name}"


def _paths(spec: Any, path: Steps) -> Iterator[Steps]:
    """Paths of the leaves of a pytree specification, in order."""
    if spec.is_leaf():
        yield path
        return
    for key, child in zip(_keys(spec), spec.children(), strict=True):
        yield from _paths(child, (*path, key))


def _keys(spec: Any) -> list[str | int]:
    """What the children of one container are called there: dict keys, named fields, or positions."""
    count = spec.num_children
    told = getattr(spec.context, "_fields", spec.context)
    if isinstance(told, list | tuple) and len(told) == count and all(isinstance(key, str) for key in told):
        return list(told)
    return list(range(count))
