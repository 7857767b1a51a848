"""Reads a .pte: its header, segments, constants, kernel calls and delegate payloads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sdk.errors import CheckFailed
from targets.executorch.flatbuffer import Table, root, unpack
from targets.executorch.payload import Weighted, operator_names, read_payload

SCALAR_BITS = {0: 8, 1: 8, 2: 16, 3: 32, 4: 64, 5: 16, 6: 32, 7: 64, 11: 8, 15: 16}
"""ScalarType of a tensor → bits of one element."""

FLOAT_TYPES = {5: 16, 6: 32, 7: 64, 15: 16}
"""ScalarTypes that are floats → bits."""

METHOD = "forward"
"""Name of the method that computes; the others of a language model's program return constants."""

_TENSOR, _KERNEL = 5, 1
"""Positions in the unions KernelTypes and InstructionArguments (from 1)."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor stored in the program: its ScalarType, sizes and bytes."""

    scalar_type: int
    sizes: tuple[int, ...]
    data: memoryview


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel call: operator name such as `aten::embedding.out`, and its constant arguments by position."""

    operator: str
    constants: dict[int, Constant]


@dataclass(frozen=True, slots=True)
class Program:
    """What a .pte holds: kernel calls by instruction, weighted operators and the names of all per XNNPACK delegate,
    named blobs, names of those that are constants of the kernels too, and by input that is row numbers the rows there are."""

    calls: dict[int, Call]
    payloads: tuple[dict[int, Weighted], ...]
    operators: tuple[tuple[str, ...], ...]
    blobs: dict[str, memoryview]
    shared: frozenset[str]
    lookups: dict[int, int]


@dataclass(frozen=True, slots=True)
class Opened:
    """A .pte whose header and segments were checked: the root table, the method that computes, segments, named blobs."""

    name: str
    root: Table
    plan: Table
    segments: list[memoryview]
    blobs: dict[str, memoryview]

    @property
    def delegates(self) -> list[tuple[str, memoryview]]:
        """Backend and payload of every delegate, in the order of their numbers; CheckFailed when one is damaged."""
        found = []
        for delegate in self.plan.tables(7):
            reference = delegate.table(1)
            if reference is None or reference.scalar(0, "b") != 1:
                raise CheckFailed(f"{self.name}: a delegate is stored inline, which this SDK never writes")
            found.append((delegate.string(0), _pick(self.segments, reference.scalar(1, "I"), self.name)))
        return found

    @property
    def constants(self) -> tuple[list[int], memoryview]:
        """Offsets of the constants and the segment that they lie in."""
        where = self.root.table(5)
        offsets = where.scalars(1, "Q") if where else []
        return offsets, _pick(self.segments, where.scalar(0, "I"), self.name) if where and offsets else memoryview(b"")


def read_program(path: Path) -> Program:
    """Read the file; CheckFailed when it is no .pte, cut short or inconsistent."""
    opened = open_file(path)
    raw = tuple(payload for backend, payload in opened.delegates if backend == "XnnpackBackend")
    payloads, operators = tuple(map(read_payload, raw)), tuple(map(operator_names, raw))
    return Program(read_calls(opened), payloads, operators, opened.blobs, shared_blobs(opened), read_lookups(opened))


def shared_blobs(opened: Opened) -> frozenset[str]:
    """Names of the blobs that lie within the constants."""
    where = opened.root.table(5)
    if where is None or not opened.constants[0]:
        return frozenset()
    entries, home = opened.root.tables(4), where.scalar(0, "I")
    starts = [entry.scalar(0, "Q") for entry in entries]
    ends = starts[home] + entries[home].scalar(1, "Q")
    numbers = {named.string(0): named.scalar(1, "I") for named in opened.root.tables(7)}
    return frozenset(name for name, number in numbers.items() if number != home and starts[home] <= starts[number] < ends)


def open_file(path: Path) -> Opened:
    """Check the file's header, segments and method; CheckFailed when it is no .pte, cut short or inconsistent."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckFailed(f"{path.name} cannot be read: {error.strerror}") from error
    return open_bytes(data, path.name)


def open_bytes(content: bytes, name: str) -> Opened:
    """The same for the bytes of a file; `name` is how messages call it."""
    data = memoryview(content)
    base = _check_header(data, name)
    program = root(data)
    segments = [_segment(data, base, s, name) for s in program.tables(4)]
    plan = [method for method in program.tables(1) if method.string(0) == METHOD]
    if len(plan) != 1:
        raise CheckFailed(f"{name} is damaged: it has {len(plan)} methods called {METHOD}, expected one")
    blobs = {n.string(0): _pick(segments, n.scalar(1, "I"), name) for n in program.tables(7)}
    return Opened(name, program, plan[0], segments, blobs)


def _check_header(data: memoryview, name: str) -> int:
    """Check magic numbers and sizes; return the byte at which the segments begin."""
    if len(data) < 64 or bytes(data[4:8]) != b"ET12":
        raise CheckFailed(f"{name} is not an ExecuTorch program (no ET12 in its first bytes)")
    if bytes(data[8:12]) != b"eh00":
        raise CheckFailed(f"{name} is damaged: its extended header is missing")
    size, base, segments = (int(unpack(data, at, "Q")) for at in (16, 24, 32))
    if base < size or base + segments != len(data):
        raise CheckFailed(f"{name} is damaged: its header announces {base + segments} bytes, the file has {len(data)}")
    return base


def _segment(data: memoryview, base: int, entry: Table, name: str) -> memoryview:
    start, size = base + entry.scalar(0, "Q"), entry.scalar(1, "Q")
    if start + size > len(data):
        raise CheckFailed(f"{name} is damaged: a segment ends behind the file")
    return data[start : start + size]


def _pick(segments: list[memoryview], index: int, name: str) -> memoryview:
    if index >= len(segments):
        raise CheckFailed(f"{name} is damaged: it refers to segment {index} of {len(segments)}")
    return segments[index]


def read_calls(opened: Opened) -> dict[int, Call]:
    """Return the kernel calls by instruction; CheckFailed when one is damaged."""
    plan, name = opened.plan, opened.name
    operators = [f"{o.string(0)}.{o.string(1)}".rstrip(".") for o in plan.tables(6)]
    values = plan.tables(2)
    offsets, data = opened.constants
    found: dict[int, Call] = {}
    for chain in plan.tables(5):
        for index, instruction in enumerate(chain.tables(2)):
            call = instruction.table(1)
            if instruction.scalar(0, "B") != _KERNEL or call is None:
                continue
            constants = {}
            for position, value in enumerate(call.scalars(1, "i")):
                constant = _constant(values[value], offsets, data, name) if 0 <= value < len(values) else None
                if constant is not None:
                    constants[position] = constant
            operator = call.scalar(0, "i")
            if not 0 <= operator < len(operators):
                raise CheckFailed(f"{name} is damaged: instruction {index} calls operator {operator} of {len(operators)}")
            found[index] = Call(operators[operator], constants)
    return found


def read_lookups(opened: Opened) -> dict[int, int]:
    """Return, by the place of an input whose values are row numbers as they are, the fewest rows of a table they are for."""
    names = [f"{o.string(0)}.{o.string(1)}" for o in opened.plan.tables(6)]
    values, places = opened.plan.tables(2), {value: place for place, value in enumerate(opened.plan.scalars(3, "i"))}
    source: dict[int, int] = {}
    found: dict[int, int] = {}
    for chain in opened.plan.tables(5):
        for instruction in chain.tables(2):
            call = instruction.table(1)
            if instruction.scalar(0, "B") != _KERNEL or call is None:
                continue
            name, args = names[call.scalar(0, "i")], call.scalars(1, "i")
            if name in _UNCHANGING:
                source[args[-1]] = source.get(args[0], args[0])
            table = values[args[0]].table(1) if name.startswith(_LOOKUPS) else None
            if table is not None:
                read = args[1 if name.startswith("aten::") else 5]
                place = places.get(source.get(read, read))
                if place is not None:
                    rows = table.scalars(2, "i")[0]
                    found[place] = min(rows, found.get(place, rows))
    return found


_LOOKUPS = ("aten::embedding.", "quantized_decomposed::embedding_")
_UNCHANGING = frozenset({
    "aten::_to_copy.out", "dim_order_ops::_to_dim_order_copy.out", "aten::view_copy.out", "aten::unsqueeze_copy.int_out",
    "aten::squeeze_copy.dims_out", "aten::permute_copy.out", "aten::expand_copy.out", "aten::clone.out",
    "dim_order_ops::_clone_dim_order.out",
})  # fmt: skip
"""Kernels that cast their first argument or give it another shape."""


def _constant(value: Table, offsets: list[int], data: memoryview, name: str) -> Constant | None:
    tensor = value.table(1)
    if value.scalar(0, "B") != _TENSOR or tensor is None:
        return None
    buffer = tensor.scalar(5, "I")
    if not buffer or tensor.table(6) is not None:
        return None
    sizes = tuple(tensor.scalars(2, "i"))
    kind = tensor.scalar(0, "b")
    size = SCALAR_BITS.get(kind, 8) // 8
    for extent in sizes:
        size *= extent
    if buffer >= len(offsets) or offsets[buffer] + size > len(data):
        raise CheckFailed(f"{name} is damaged: a constant of {size} bytes is outside its segment")
    return Constant(kind, sizes, data[offsets[buffer] : offsets[buffer] + size])
