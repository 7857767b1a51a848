"""Model references: `file.py:factory`, `pkg.mod:factory`, `model.pt2`, `model.gguf`, a Hugging Face directory or id."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdk.errors import BadInput
from sdk.models.language import Language


@dataclass(frozen=True, slots=True)
class Loaded:
    """A module or an ExportedProgram, with example inputs where the reference gave some.

    `language` is set for language models, whose module takes `tokens`.
    """

    name: str
    source: str
    module: Any
    example: Any = None
    language: Language | None = None
    missing: tuple[str, ...] = ()
    """Weights that the checkpoint has not, so that they are random."""
    unexpected: tuple[str, ...] = ()
    """Weights of the checkpoint that the model has not, so that they are left out."""


_WEIGHTS = "write a factory (`file.py:factory`) that builds the network and loads these weights into it"
_BUILT = "give the PyTorch model that it was made from (`file.py:factory`)"
OTHERS = {
    ".onnx": "convert it with a tool such as onnx2torch in a factory (`file.py:factory`)",
    ".safetensors": f"give the Hugging Face directory around it, or {_WEIGHTS}",
    ".jit": _WEIGHTS, ".torchscript": _WEIGHTS, ".h5": _WEIGHTS, ".keras": _WEIGHTS,
    ".pte": _BUILT, ".tflite": _BUILT, ".litertlm": _BUILT, ".mlpackage": _BUILT, ".mlmodel": _BUILT, ".mlmodelc": _BUILT,
}  # fmt: skip
"""Endings of files that are often at hand instead of a model, and what to do about each."""


def load_reference(
    reference: str, trust: bool = False, folder: Path | None = None, context: int | None = None
) -> Loaded:
    """Load what `reference` names; relative paths are taken from `folder` (default: here).

    `context`: tokens that a language model's bundle can hold.
    Raises BadInput with the reference and the mend; unpickles nothing unless `trust`.
    """
    base = folder or Path()
    path = base / reference
    if reference.endswith((".pt", ".pth", ".bin", ".ckpt", ".pkl")):
        raise BadInput(
            f"{reference}: a pickled checkpoint is not a model; write a factory (`file.py:factory`) that loads "
            "it with weights_only=True, or export it to .pt2"
        )
    mend = next((each for ending, each in OTHERS.items() if reference.endswith(ending)), None)
    if mend is not None:
        raise BadInput(f"model {reference!r} is no PyTorch model; {mend}")
    if reference.endswith(".pt2"):
        return _load_pt2(path, reference, trust)
    if reference.endswith(".gguf"):
        from sdk.models.gguf import load_gguf

        return load_gguf(reference, path, context)
    head, colon, attribute = reference.rpartition(":")
    if colon and head and attribute.isidentifier():
        return _call_factory(load_attribute(reference, base, "model"), reference, attribute)
    if path.is_dir() or "/" in reference:
        from sdk.models.huggingface import load_huggingface

        return load_huggingface(reference, path, trust, context)
    raise BadInput(
        f"model {reference!r} is neither `file.py:factory`, `pkg.mod:factory`, a .pt2 or .gguf file, nor a Hugging Face "
        "directory or id"
    )


def load_attribute(reference: str, folder: Path, field: str) -> Any:
    """Import `file.py:name` (relative to `folder`) or `pkg.mod:name` and return the named object."""
    head, _, attribute = reference.rpartition(":")
    if not head or not attribute.isidentifier():
        raise BadInput(f"{field}: {reference!r} is not of the form file.py:name or pkg.mod:name")
    if head.endswith(".py"):
        file = folder / head
        if not file.is_file():
            raise BadInput(f"{field}: {reference!r}: there is no file {head}")
        module = _import_file(file, reference, field)
    else:
        try:
            module = importlib.import_module(head)
        except ImportError as error:
            raise BadInput(f"{field}: {reference!r}: module {head} cannot be imported: {error}") from error
    if not hasattr(module, attribute):
        names = ", ".join(n for n in vars(module) if callable(getattr(module, n)) and not n.startswith("_"))
        raise BadInput(f"{field}: {reference!r}: {head} has no {attribute!r}; it has: {names or 'no functions'}")
    return getattr(module, attribute)


def call_inputs(reference: str) -> Any:
    """Return the example inputs that the function `reference` gives: a tuple, or a dict by keyword. BadInput."""
    function = load_attribute(reference, Path(), "inputs")
    try:
        example = function() if callable(function) else function
    except (Exception, SystemExit) as error:
        raise BadInput(f"inputs: {reference!r} failed: {type(error).__name__}: {error}") from error
    return tuple(example) if isinstance(example, list | tuple) else example if isinstance(example, dict) else (example,)


def _import_file(file: Path, reference: str, field: str) -> Any:
    """Execute a Python file as a module of its own; its folder is importable while it loads."""
    name = f"_sdk_user_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]}"  # the same in every process
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, Exception | SystemExit):
            raise BadInput(f"{field}: {reference!r}: importing it failed: {_brief(error)}") from error
        raise
    finally:
        sys.path.remove(str(file.resolve().parent))
    return module


def _call_factory(factory: Any, reference: str, name: str) -> Loaded:
    import torch

    if not callable(factory):
        raise BadInput(f"model {reference!r} is a {type(factory).__name__}, not a function that returns a module")
    try:
        made = factory()
    except (Exception, SystemExit) as error:
        raise BadInput(f"model {reference!r}: calling the factory failed: {_brief(error)}") from error
    module, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, torch.nn.Module | torch.export.ExportedProgram):
        raise BadInput(
            f"model {reference!r}: the factory returned {type(module).__name__}; it must return a torch.nn.Module, "
            "or (module, example inputs)"
        )
    return Loaded(name.replace("_", "-"), reference, module, example)


def _load_pt2(path: Path, reference: str, trust: bool) -> Loaded:
    from sdk.models.pt2 import load_pt2

    if not path.is_file():
        raise BadInput(f"model {reference!r}: there is no such file")
    program = load_pt2(path, reference, trust)
    return Loaded(path.stem, reference, program, program.example_inputs)


def _brief(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
