"""One way in: any reference, module or exported program becomes a `Model`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdk.errors import BadInput
from sdk.models.by_shape import recurrent_by_shape
from sdk.models.complexes import is_complex
from sdk.models.layers import take_inventory
from sdk.models.model import Model, TensorSpec
from sdk.models.normalise import export_flat, fault, normalise
from sdk.models.outputs import output_names
from sdk.models.references import Loaded, load_reference
from sdk.models.spill import Spill, put
from sdk.models.turn import changes
from sdk.models.unfit import Unfit, refused


@dataclass(frozen=True, slots=True)
class Exported:
    """What a reference gives, exported as it stands: nothing of it was rewritten or computed yet."""

    loaded: Loaded
    program: Any
    """A `torch.export.ExportedProgram`."""
    spill: Spill | None = None
    turned: bool = False
    """Whether a language model got another basis (see `sdk.models.turn`)."""
    shaped_by_sample: bool = False
    """Whether nobody gave example inputs, so that the first calibration sample decides the shapes that ship."""

    @property
    def digest(self) -> str:
        """sha256 over everything that decides the model that is made of it: operators, tensors, example and signature."""
        from torch.utils import _pytree as pytree

        leaves, _ = pytree.tree_flatten(self.program.example_inputs)
        said = [
            self.loaded.name, self.loaded.source, str(self.program.call_spec), str(self.program.graph_signature),
            output_names(self.program, ()),
        ]  # fmt: skip
        return _digest(self.program, (*said, *(leaf for leaf in leaves if not hasattr(leaf, "dtype")))) + digest_of(leaves)


def export_model(
    model: Any, example: Any = None, *, trust: bool = False, folder: Path | None = None, context: int | None = None,
    samples: Sequence[Any] = (), on_grid: Callable[[Any], bool] | None = None,
) -> Exported:
    """Load and export `model`, as described at `load_model`; the first of `samples` is gone by where nobody gives an example.

    Raises BadInput.
    """
    import torch

    if isinstance(model, str):
        loaded = load_reference(model, trust, folder, context)
    elif isinstance(model, torch.nn.Module | torch.export.ExportedProgram):
        own = model.example_inputs if isinstance(model, torch.export.ExportedProgram) else None
        loaded = Loaded(type(model).__name__.lower(), f"{type(model).__name__} object", model, own)
    else:
        raise BadInput(f"model: a {type(model).__name__} is neither a reference, a module nor an exported program")
    if context is not None and loaded.language is None:
        raise BadInput(f"--context: model {loaded.source!r} is not a language model; leave it out")
    inputs = _inputs(loaded, example if loaded.language is None else None, next(iter(samples), None))
    _refuse_quantized(loaded.module, loaded.source)
    turned, spilt = {}, None
    if loaded.language is not None:
        _check_finite(loaded.module, loaded.source)  # a turn spreads what is not over other weights
        turned = changes(loaded.module, on_grid) if on_grid is not None else {}
        spilt = put(loaded.module, turned)
    by_sample = example is None and loaded.example is None and not isinstance(loaded.module, torch.export.ExportedProgram)
    try:
        with recurrent_by_shape():
            program = export_flat(loaded.module, inputs, loaded.source)
    except Unfit as error:
        def tried(sample: Any) -> str | None:
            try:
                return fault(loaded.module, *_inputs(loaded, sample, None))
            except BadInput as unlike:
                return str(unlike)

        raise refused(loaded.source, inputs, by_sample, str(error), samples, tried) from error
    _check_weights(program, loaded.source)
    if loaded.language is None:
        _check_finite(program, loaded.source)
    return Exported(loaded, program, spilt, bool(turned), by_sample and loaded.language is None)


def load_model(
    model: Any, example: Any = None, *, name: str | None = None, trust: bool = False, folder: Path | None = None,
    context: int | None = None, on_grid: Callable[[Any], bool] | None = None,
) -> Model:
    """Load, export, normalise and take the inventory of `model`; `context` in tokens is for language models alone.

    language models get another basis, but those most of whose linears lie `on_grid` (see `sdk.models.turn`); None: none does.

    `model` is a reference (str), a `torch.nn.Module` or an `ExportedProgram`; `example` a tuple (or dict of
    keyword) example inputs, needed when the reference gives none. Raises BadInput.
    """
    return finish_model(export_model(model, example, trust=trust, folder=folder, context=context, on_grid=on_grid), name)


def finish_model(exported: Exported, name: str | None = None) -> Model:
    """Normalise and take the inventory of an exported model; `name` instead of its own. Raises BadInput."""
    loaded, flat = exported.loaded, exported.program
    with recurrent_by_shape():
        program, tensors = normalise(flat, loaded.source, functional=loaded.language is not None)
    _check_complete(program, loaded)
    _check_real(program, loaded.source)
    inventory = take_inventory(program)
    specs = _input_specs(program, tensors)
    _check_work(program, specs, loaded.source)
    outs = _output_specs(program, output_names(flat, tuple(spec.name for spec in specs)))
    return Model(
        name or loaded.name, loaded.source, program, inventory, specs, outs, tensors, _digest(program, specs),
        loaded.language, exported.spill,
    )


def _inputs(loaded: Loaded, example: Any, sample: Any) -> Any:
    import numpy as np
    import torch
    from torch.utils import _pytree as pytree

    chosen = next((each for each in (example, loaded.example, sample) if each is not None), None)
    if chosen is None:
        raise BadInput(
            f"model {loaded.source!r} came without example inputs: return (module, inputs) from the factory, or give "
            "calibration data whose first sample shows the shapes"
        )
    chosen = pytree.tree_map(lambda value: torch.as_tensor(value) if isinstance(value, np.ndarray) else value, chosen)
    if isinstance(chosen, torch.Tensor):
        chosen = (chosen,)
    if isinstance(chosen, tuple) and len(chosen) == 2 and isinstance(chosen[1], dict) and isinstance(chosen[0], tuple):
        return chosen
    if isinstance(chosen, dict):
        return (), chosen
    if isinstance(chosen, tuple | list):
        return tuple(chosen), {}
    raise BadInput(f"model {loaded.source!r}: example inputs are a {type(chosen).__name__}; a tuple of tensors is needed")


def _refuse_quantized(module: Any, source: str) -> None:
    """BadInput where weights are packed already, in modules of PyTorch's eager quantization or in torchao's tensors."""
    import torch
    from torch.utils._python_dispatch import is_traceable_wrapper_subclass

    parts = module.named_modules() if isinstance(module, torch.nn.Module) else ()
    packed = [name for name, part in parts if re.match(r"torch\.ao\.nn\.(\w+\.)*quantized\b", type(part).__module__)]
    packed += [name for name, tensor in module.named_parameters() if is_traceable_wrapper_subclass(tensor)]
    if packed:
        raise BadInput(f"model {source!r}: {packed[0]} is quantized already: give the float model")


def _check_work(program: Any, specs: tuple[TensorSpec, ...], source: str) -> None:
    """BadInput where there is nothing to compute, or nothing to compute with."""
    hollow = next((spec for spec in specs if 0 in spec.shape), None)
    if hollow is not None:
        raise BadInput(f"model {source!r}: input {hollow.name} has shape {list(hollow.shape)}, which holds nothing")
    if not any(node.op == "call_function" for node in program.graph.nodes):
        raise BadInput(f"model {source!r} computes nothing: its outputs are its inputs")


def _check_complete(program: Any, loaded: Loaded) -> None:
    """BadInput where the model computes with weights that its checkpoint has not."""
    used = tuple(program.state_dict)
    lost = [name for name in loaded.missing if any(each == name or each.endswith(f".{name}") for each in used)]
    if lost:
        raise BadInput(
            f"model {loaded.source!r}: its checkpoint lacks {len(lost)} of the weights that the model computes with, such as "
            f"{lost[0]}: download it again, or mend its config.json"
        )


def _check_weights(program: Any, source: str) -> None:
    import torch

    parameters = dict(program.named_parameters())
    tensors = {**parameters, **dict(program.named_buffers()), **program.constants}
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            continue
        if name in parameters and tensor.numel() == 0:
            raise BadInput(f"model {source!r}: weight {name} has shape {list(tensor.shape)}, which holds nothing: leave it out")


def _check_real(program: Any, source: str) -> None:
    """BadInput naming what is still complex once spectra are written in real numbers."""
    for node in program.graph.nodes:
        if is_complex(node):
            raise BadInput(
                f"model {source!r}: {node.name} is complex, and what is computed of it cannot be written in real numbers here: "
                "compute real and imaginary parts apart"
            )


def _check_finite(owner: Any, source: str) -> None:
    """BadInput where a parameter of a module or of an exported program is not finite."""
    import torch

    for name, tensor in owner.named_parameters():
        if not _finite(tensor):
            count = int((~torch.isfinite(tensor.float())).sum())
            raise BadInput(f"model {source!r}: weight {name} has {count} NaN or infinite values; mend the checkpoint")


def _finite(tensor: Any) -> bool:
    """Whether all values are finite, by their ends alone: a mask would take as much memory as a big weight."""
    import torch

    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return real.numel() == 0 or bool(torch.isfinite(torch.stack(torch.aminmax(real.detach()))).all())


def _input_specs(program: Any, tensors: tuple[Any, ...]) -> tuple[TensorSpec, ...]:
    names = program.graph_signature.user_inputs
    return tuple(
        TensorSpec(str(name), str(t.dtype).removeprefix("torch."), tuple(t.shape))
        for name, t in zip(names, tensors, strict=True)
    )


def _output_specs(program: Any, names: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    node = next(n for n in program.graph.nodes if n.op == "output")
    values = [arg.meta["val"] for arg in node.args[0]]
    return tuple(
        TensorSpec(name, str(v.dtype).removeprefix("torch."), tuple(v.shape))
        for name, v in zip(names, values, strict=True)
    )


def _digest(program: Any, said: tuple[Any, ...]) -> str:
    """sha256 over operators with their arguments, every parameter, buffer and constant, and what is `said` of it."""
    import torch

    digest = hashlib.sha256(repr(said).encode())
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            digest.update(f"{node.op} {node.target} {node.args} {node.kwargs}\n".encode())
    tensors = {**program.state_dict, **program.constants}
    for key in sorted(tensors):
        value = tensors[key]
        if isinstance(value, torch.Tensor):
            digest.update(key.encode())
            _add(digest, value)
    return digest.hexdigest()


def digest_of(values: Iterable[Any]) -> str:
    """sha256 over the tensors among `values`, in their order."""
    import torch

    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, torch.Tensor):
            _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, tensor: Any) -> None:
    import torch

    digest.update(f" {tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
