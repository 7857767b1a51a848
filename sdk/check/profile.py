"""Where an artifact's time goes: what the runtime tells of each operator it executed, and which ones its delegate left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sdk.check.transcript import reason
from sdk.errors import DeviceUnfit, RunnerFailed

FIRST = "snugfit-profile 2"
"""The line that a profile starts with."""
RUNS = 50
"""Runs that are profiled, one after the other, after one that is not."""
DEADLINE = 120.0
"""Seconds after which the program ends itself."""

LOOPS = ("WHILE", "IF", "CALL", "CALL_ONCE")
"""Operators whose time holds that of graphs of their own."""
Backend = Literal["XNNPACK", "LiteRT"]
"""What executed an operator: a kernel of the delegate, or the runtime's own, to which it fell back."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OperatorEntry(_Frozen):
    """One operator in the order of execution: its kernel's name, ns in one run, and share of the time of all operators.

    `part` counts the delegate's parts of the graph, each of which is executed at once (None: it fell back); `node` is its number
    in that part, or in the graph. A `graph` other than 0 is one that a loop executes: `count` times, whose ns are added up here
    and are none of the loop's own.
    """

    name: str
    backend: Backend
    part: int | None
    node: int
    ns: Annotated[float, Field(ge=0)]
    share: float
    graph: int = 0
    count: int = 1


class KindEntry(_Frozen):
    """All operators of one name and backend: how often one run executes them, ns of all of that, and share."""

    name: str
    backend: Backend
    count: int
    ns: float
    share: float


class ProfileEntry(_Frozen):
    """The operators that one run executes, in order, and by kind (the slowest first).

    ns are means of the middle half of `runs` runs, each of which the runtime tells in whole µs.
    """

    runtime: str
    runs: int
    operators: tuple[OperatorEntry, ...]
    kinds: tuple[KindEntry, ...]

    @property
    def parts(self) -> int:
        """How many parts of the graph the delegate executes."""
        return len({each.part for each in self.operators} - {None})

    @property
    def fallbacks(self) -> tuple[OperatorEntry, ...]:
        """The operators that the delegate left to the runtime's own kernels."""
        return tuple(each for each in self.operators if each.part is None)


def parse_profile(text: str, ended: str) -> ProfileEntry:
    """Return what a profiling program printed; `ended` says how it ended, such as `exit code 1`.

    DeviceUnfit when the program says that it cannot profile there, RunnerFailed when it did not live to its end or wrote
    something else.
    """
    lines = text.splitlines()
    if FIRST not in lines or lines[-1] != "end":
        failed = [line.partition(" ")[2] for line in lines if line.startswith("error ")]
        if failed:
            raise DeviceUnfit(f"the runner on the device cannot profile this: {failed[0]}")
        raise RunnerFailed(f"the runner made no whole profile ({ended}): {reason(ended, 'check a faster artifact')}")
    words = dict(line.split(" ", 1) for line in lines if line.startswith(("runtime ", "runs ")))
    try:
        rows = [_row(line) for line in lines if line.startswith("op ")]
        return _profile(words["runtime"], int(words["runs"]), rows)
    except (KeyError, ValueError) as error:
        raise RunnerFailed(f"the runner's profile lacks or spoils {error}") from None


@dataclass(slots=True)
class _Row:
    """One operator as it was executed once, and its µs in each run."""

    backend: Backend
    graph: int
    node: int
    taken: list[int]
    name: str


def _row(line: str) -> _Row:
    _, backend, graph, node, taken, name = line.split(" ", 5)
    if backend not in ("XNNPACK", "LiteRT"):
        raise ValueError(f"backend {backend[:40]!r}")
    return _Row(backend, int(graph), int(node), [int(each) for each in taken.split(",")], name)  # type: ignore[arg-type]


def _middle(taken: Sequence[int]) -> float:
    """Mean of the middle half: a median that resolves less than a µs."""
    ordered = sorted(taken)
    kept = ordered[len(ordered) // 4 : len(ordered) - len(ordered) // 4]
    return sum(kept) / len(kept)


def _added(taken: Sequence[Sequence[int]]) -> list[int]:
    """The µs of several executions in each run."""
    return [sum(each) for each in zip(*taken, strict=True)]


def _profile(runtime: str, runs: int, rows: Sequence[_Row]) -> ProfileEntry:
    found: dict[tuple[int, int | None, int, str], list[_Row]] = {}
    for row, part in zip(rows, _parts(rows), strict=True):
        found.setdefault((row.graph, part, row.node, row.name), []).append(row)
    times = {key: 1e3 * _middle(_added([row.taken for row in group])) for key, group in found.items()}
    total = sum(times.values()) or 1.0
    operators = [
        OperatorEntry(
            name=key[3], backend=group[0].backend, part=key[1], node=key[2], ns=times[key], share=times[key] / total,
            graph=key[0], count=len(group),
        )
        for key, group in found.items()
    ]  # fmt: skip
    return ProfileEntry(runtime=runtime, runs=runs, operators=tuple(operators), kinds=_kinds(operators))


def _parts(rows: Sequence[_Row]) -> list[int | None]:
    """The delegate's part that each row is of, None for the runtime's own; what a loop executes is taken off the loop's time.

    A part's operators are counted from 0. A graph that is entered anew, as its loop's condition ran in between, begins with its
    first part again; one that is gone on with behind a loop of its own does not.
    """
    known: dict[tuple[int, int], int] = {}
    reached: dict[int, int] = {}
    last: dict[int, _Row] = {}
    found: list[int | None] = []
    loops = _Loops()
    for place, row in enumerate(rows):
        before = last.get(row.graph)
        if place and rows[place - 1].graph != row.graph and before is not None and before.name not in LOOPS:
            before, reached[row.graph] = None, -1
        loops.enter(row)
        if row.backend == "XNNPACK" and (before is None or before.backend != "XNNPACK" or row.node <= before.node):
            reached[row.graph] = reached.get(row.graph, -1) + 1
        last[row.graph] = row
        found.append(known.setdefault((row.graph, reached[row.graph]), len(known)) if row.backend == "XNNPACK" else None)
    return found


class _Loops:
    """The loops that are being executed, outermost first, and which of them executes each graph."""

    def __init__(self) -> None:
        self._open: list[_Row] = []
        self._owner: dict[int, tuple[int, int]] = {}

    def enter(self, row: _Row) -> None:
        """Take the row off the time of the loop that executes it."""
        back = next((place for place, loop in enumerate(self._open) if loop.graph == row.graph), None)
        if back is not None:
            del self._open[back:]  # its graph goes on: the loop is over
        elif self._open:
            owner = self._owner.setdefault(row.graph, (self._open[-1].graph, self._open[-1].node))
            while self._open and (self._open[-1].graph, self._open[-1].node) != owner:
                self._open.pop()
        if self._open:
            loop = self._open[-1]
            loop.taken = [max(0, own - inner) for own, inner in zip(loop.taken, row.taken, strict=True)]
        if row.name in LOOPS:
            self._open.append(row)


def _kinds(operators: Sequence[OperatorEntry]) -> tuple[KindEntry, ...]:
    groups: dict[tuple[str, Backend], list[OperatorEntry]] = {}
    for each in operators:
        groups.setdefault((each.name, each.backend), []).append(each)
    found = [
        KindEntry(
            name=name, backend=backend, count=sum(each.count for each in group), ns=sum(each.ns for each in group),
            share=sum(each.share for each in group),
        )
        for (name, backend), group in groups.items()
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda kind: (-kind.ns, kind.name, kind.backend)))
