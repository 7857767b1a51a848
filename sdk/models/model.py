"""The model as every later stage sees it: a normalised inference graph with named parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sdk.models.inventory import LayerInventory
from sdk.models.language import Language
from sdk.models.row_major import reshape_views
from sdk.models.spill import Spill

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output: its name as the model has it, dtype (`float32`, `int64`, …) and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A model in inference form.

    `program` is a `torch.export.ExportedProgram` in float32: training-IR ATen operators (`aten.linear`,
    `aten.conv2d`, …, not decomposed), dropout removed, batch norm folded into the convolution before it, flat tensor inputs
    and outputs. Parameter names are those of the user's model. `example` is one input tuple of the
    exported shapes. `digest` is a sha256 over graph, parameters and shapes. A language model has `language` set, the
    input `tokens` [1, window] and the output `logits` [1, window, vocabulary], of which each row sees what is before it.
    """

    name: str
    source: str
    program: Any
    inventory: LayerInventory
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    example: tuple[Any, ...] = field(repr=False)
    digest: str
    language: Language | None = None
    spill: Spill | None = field(default=None, repr=False, compare=False)
    """Holds the parameters of a big model."""

    @property
    def artifact_digest(self) -> str:
        """`digest` and, of a language model, the tokens of context that its artifacts have room for."""
        return self.digest if self.language is None else f"{self.digest}:{self.language.context}"

    def release(self) -> None:
        """Give back the memory of a big model's parameters until they are read again."""
        if self.spill is not None:
            self.spill.release()

    def with_parameters(self, values: Mapping[str, Any]) -> Model:
        """Return the model with other values of the parameters named, and a digest that says so."""
        import copy
        import hashlib

        import torch

        digest = hashlib.sha256(self.digest.encode())
        for name, value in sorted(values.items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode() + value.contiguous().numpy().tobytes())
        program = copy.copy(self.program)
        own = {name: torch.nn.Parameter(value, program.state_dict[name].requires_grad) for name, value in values.items()}
        program._state_dict = {**program.state_dict, **own}
        return replace(self, program=program, digest=digest.hexdigest())

    def module(self) -> Any:
        """Return a fresh `torch.fx.GraphModule` of the program, whose parameters and buffers share the program's memory.

        Whoever changes one gives it another tensor (`get_parameter(name).data = …`) and writes nothing into the one that is
        there. Parameters keep their qualified names (`get_parameter(name)`), nodes the names that
        `Layer.input` and `Layer.output` refer to. It takes tensors of any strides: an exported `view` holds for the
        strides of the trace, which kernels such as attention do not promise, and is a `reshape` here.
        """
        import copy

        import torch

        made = self.program.module(check_guards=False)
        shared: dict[int, Any] = {id(p): torch.nn.Parameter(p.detach(), p.requires_grad) for p in made.parameters()}
        module = copy.deepcopy(made, shared | {id(b): b.detach() for b in made.buffers()})
        reshape_views(module)
        module.recompile()
        copied: torch.nn.Module = module
        return copied
