"""Evaluates a .pte in torch, instruction by instruction, where ExecuTorch's runtime lacks the delegate's backend.

Kernel calls are looked up by name among torch's own operators; what a delegate computes is handed in by its backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdk.errors import CheckFailed, Missing
from targets.executorch.arithmetic import multiply_accumulates
from targets.executorch.backends.backend import Operator
from targets.executorch.flatbuffer import Table
from targets.executorch.program import Opened

DTYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64", 11: "bool",
    15: "bfloat16",
}  # fmt: skip
"""ScalarType → torch's name of it."""

_NULL, _INT, _BOOL, _DOUBLE, _TENSOR, _STRING, _INTS, _DOUBLES, _BOOLS, _TENSORS, _OPTIONALS = range(1, 12)
"""Positions in the union KernelTypes."""

_KERNEL, _DELEGATE, _MOVE, _JUMP, _FREE = range(1, 6)
"""Positions in the union InstructionArguments."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor of the program: its type, extents, and its bytes when the file holds them."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview | None


@dataclass(frozen=True, slots=True)
class Items:
    """A list of the program's values, by their numbers (None: an absent tensor)."""

    numbers: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: a kernel's name, or the number of a delegate; and the numbers of its values."""

    kernel: str
    delegate: int
    values: tuple[int, ...]


@dataclass
class Machine:
    """A program that is ready to be evaluated; `delegates` are called with torch tensors."""

    values: list[Any]
    steps: list[Step]
    inputs: list[int]
    outputs: list[int]
    delegates: Sequence[Callable[[Sequence[Any]], list[Any]]] = field(default=(), repr=False)

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """Evaluate once on torch tensors; CheckFailed when their number is wrong, Missing for an operator nobody knows."""
        import torch

        if len(inputs) != len(self.inputs):
            raise CheckFailed(f"{len(inputs)} inputs were given; the program takes {len(self.inputs)}")
        held: dict[int, Any] = dict(zip(self.inputs, inputs, strict=True))
        with torch.no_grad():
            for step in self.steps:
                self._step(step, held)
        return [self._value(held, number) for number in self.outputs]

    def outside(self) -> list[Operator]:
        """Return the kernel calls, which run beside the delegates."""
        return [Operator(step.kernel, self._macs(step)) for step in self.steps if step.kernel]

    def _macs(self, step: Step) -> int:
        shapes = [slot.shape for slot in (self.values[n] for n in step.values) if isinstance(slot, Slot)]
        return multiply_accumulates(step.kernel, shapes[:-1], shapes[-1]) if shapes else 0

    def _step(self, step: Step, held: dict[int, Any]) -> None:
        if step.kernel:
            _call(self, step, held)
            return
        given = [number for number in step.values if number in held or self.values[number].data is not None]
        made = [number for number in step.values if number not in given]
        results = self.delegates[step.delegate]([self._value(held, number) for number in given])
        for number, result in zip(made, results, strict=True):
            held[number] = result.to(_dtype(self.values[number].dtype)).reshape(self.values[number].shape)

    def _value(self, held: dict[int, Any], number: int | None) -> Any:
        if number is None:
            return None
        if number in held:
            return held[number]
        value = self.values[number]
        if isinstance(value, Items):
            return [self._value(held, each) for each in value.numbers]
        if isinstance(value, Slot):
            if value.data is None:
                raise CheckFailed("the program reads a tensor that nothing wrote")
            held[number] = tensor_of(value.data, value.dtype, value.shape)
            return held[number]
        return value


def _call(machine: Machine, step: Step, held: dict[int, Any]) -> None:
    """Call the out-variant of a kernel with fresh tensors to write to."""
    import torch

    operator = _operator(step.kernel)
    arguments = operator._schema.arguments
    positional: list[Any] = []
    named: dict[str, Any] = {}
    made: list[int] = []
    for argument, number in zip(arguments, step.values, strict=False):
        if argument.is_out:
            slot = machine.values[number]
            made.append(number)
            named[argument.name] = torch.empty(slot.shape, dtype=_dtype(slot.dtype))
        elif argument.kwarg_only:
            named[argument.name] = _typed(machine._value(held, number), argument)
        else:
            positional.append(_typed(machine._value(held, number), argument))
    results = operator(*positional, **named)
    for number, result in zip(made, results if isinstance(results, tuple | list) else [results], strict=True):
        held[number] = result


def _typed(value: Any, argument: Any) -> Any:
    """A value as the operator's schema wants it: ScalarTypes are plain integers in a program."""
    if "ScalarType" in str(argument.real_type) and isinstance(value, int):
        return _dtype(DTYPES[value])
    return value


def _operator(kernel: str) -> Any:
    import torch

    space, _, rest = kernel.partition("::")
    name, _, overload = rest.partition(".")
    try:
        return getattr(getattr(getattr(torch.ops, space), name), overload or "default")
    except AttributeError as error:
        raise Missing(f"the program's operator {kernel} cannot be evaluated here: torch does not have it") from error


def _dtype(name: str) -> Any:
    import torch

    return getattr(torch, name)


def tensor_of(data: memoryview, dtype: str, shape: tuple[int, ...]) -> Any:
    """Return stored bytes as a torch tensor of its own."""
    import torch

    if not len(data):
        return torch.empty(shape, dtype=_dtype(dtype))
    return torch.frombuffer(bytearray(data), dtype=_dtype(dtype)).reshape(shape)


def load_machine(opened: Opened, delegates: Sequence[Callable[[Sequence[Any]], list[Any]]] = ()) -> Machine:
    """Read the values and instructions of the method that computes; CheckFailed when they are damaged or hold a jump."""
    plan = opened.plan
    operators = [f"{o.string(0)}.{o.string(1)}".rstrip(".") for o in plan.tables(6)]
    stored = opened.constants
    values = [_read_value(opened.name, stored, table) for table in plan.tables(2)]
    steps = [_read_step(opened, operators, one) for chain in plan.tables(5) for one in chain.tables(2)]
    found = [step for step in steps if step is not None]
    for step in found:
        if any(not 0 <= number < len(values) for number in step.values):
            raise CheckFailed(f"{opened.name} is damaged: an instruction refers to a value that is not there")
    return Machine(values, found, plan.scalars(3, "i"), plan.scalars(4, "i"), delegates)


def _read_step(opened: Opened, operators: list[str], instruction: Table) -> Step | None:
    kind, body = instruction.scalar(0, "B"), instruction.table(1)
    if kind == _FREE:
        return None
    if body is None or kind not in (_KERNEL, _DELEGATE):
        raise CheckFailed(f"{opened.name}: an instruction of sort {kind} cannot be evaluated")
    number = body.scalar(0, "i")
    if kind == _KERNEL and not 0 <= number < len(operators):
        raise CheckFailed(f"{opened.name} is damaged: an instruction calls operator {number} of {len(operators)}")
    name = operators[number] if kind == _KERNEL else ""
    return Step(name, number if kind == _DELEGATE else -1, tuple(body.scalars(1, "i")))


def _read_value(name: str, stored: tuple[list[int], memoryview], entry: Table) -> Any:
    kind, body = entry.scalar(0, "B"), entry.table(1)
    if kind in (0, _NULL) or body is None:
        return None
    if kind == _TENSOR:
        return _read_slot(name, stored, body)
    if kind in (_INTS, _TENSORS, _OPTIONALS):
        numbers = body.scalars(0, "q" if kind == _INTS else "i")
        return Items(tuple(None if number < 0 else int(number) for number in numbers))
    readers: Mapping[int, Callable[[], Any]] = {
        _INT: lambda: int(body.scalar(0, "q")), _BOOL: lambda: bool(body.scalar(0, "?")),
        _DOUBLE: lambda: float(body.scalar(0, "d")), _STRING: lambda: body.string(0),
        _DOUBLES: lambda: body.scalars(0, "d"), _BOOLS: lambda: body.scalars(0, "?"),
    }  # fmt: skip
    if kind not in readers:
        raise CheckFailed(f"{name}: a value of sort {kind} cannot be read")
    return readers[kind]()


def _read_slot(name: str, stored: tuple[list[int], memoryview], tensor: Table) -> Slot:
    shape, kind = tuple(tensor.scalars(2, "i")), tensor.scalar(0, "b")
    if kind not in DTYPES:
        raise CheckFailed(f"{name}: a tensor of ScalarType {kind} cannot be read")
    buffer = tensor.scalar(5, "I")
    if not buffer or tensor.table(6) is not None:
        return Slot(DTYPES[kind], shape, None)
    offsets, data = stored
    size = tensor_bytes(DTYPES[kind], shape)
    if buffer >= len(offsets) or offsets[buffer] + size > len(data):
        raise CheckFailed(f"{name} is damaged: a constant of {size} bytes is outside its segment")
    return Slot(DTYPES[kind], shape, data[offsets[buffer] : offsets[buffer] + size])


def tensor_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor."""
    import math

    return math.prod(shape) * int(_dtype(dtype).itemsize)
