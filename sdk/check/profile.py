"""Where an artifact's time goes: what the runtime tells of each operator it executed, and which ones its delegate left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sdk.errors import DeviceUnfit, RunnerFailed

FIRST = "snugfit-profile 1"
"""The line that a profile starts with."""
RUNS = 50
"""Runs that are profiled, one after the other, after one that is not."""
DEADLINE = 120.0
"""Seconds after which the program ends itself."""

Backend = Literal["XNNPACK", "LiteRT"]
"""What executed an operator: a kernel of the delegate, or the runtime's own, to which it fell back."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OperatorEntry(_Frozen):
    """One operator in the order of execution: its kernel's name, ns, and share of the time of all operators.

    `part` counts the delegate's parts of the graph, each of which is executed at once (None: it fell back); `node` is its number
    in that part, or in the graph.
    """

    name: str
    backend: Backend
    part: int | None
    node: int
    ns: Annotated[float, Field(ge=0)]
    share: float


class KindEntry(_Frozen):
    """All operators of one name and backend: how many, ns of all of them in one run, and share."""

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
        raise RunnerFailed(f"the runner made no whole profile ({ended})")
    words = dict(line.split(" ", 1) for line in lines if line.startswith(("runtime ", "runs ")))
    try:
        rows = [_row(line) for line in lines if line.startswith("op ")]
        return _profile(words["runtime"], int(words["runs"]), rows)
    except (KeyError, ValueError) as error:
        raise RunnerFailed(f"the runner's profile lacks or spoils {error}") from None


def _row(line: str) -> tuple[Backend, int, float, str]:
    _, backend, node, taken, name = line.split(" ", 4)
    if backend not in ("XNNPACK", "LiteRT"):
        raise ValueError(f"backend {backend[:40]!r}")
    return backend, int(node), 1e3 * _middle([int(each) for each in taken.split(",")]), name  # type: ignore[return-value]


def _middle(taken: Sequence[int]) -> float:
    """Mean of the middle half: a median that resolves less than a µs."""
    ordered = sorted(taken)
    kept = ordered[len(ordered) // 4 : len(ordered) - len(ordered) // 4]
    return sum(kept) / len(kept)


def _profile(runtime: str, runs: int, rows: Sequence[tuple[Backend, int, float, str]]) -> ProfileEntry:
    total = sum(ns for _, _, ns, _ in rows) or 1.0
    operators, part, last = [], -1, None
    for backend, node, ns, name in rows:
        if backend == "XNNPACK" and (last is None or node <= last):  # a part's operators are counted from 0
            part += 1
        last = node if backend == "XNNPACK" else None
        place = part if backend == "XNNPACK" else None
        operators.append(OperatorEntry(name=name, backend=backend, part=place, node=node, ns=ns, share=ns / total))
    return ProfileEntry(runtime=runtime, runs=runs, operators=tuple(operators), kinds=_kinds(operators))


def _kinds(operators: Sequence[OperatorEntry]) -> tuple[KindEntry, ...]:
    groups: dict[tuple[str, Backend], list[OperatorEntry]] = {}
    for each in operators:
        groups.setdefault((each.name, each.backend), []).append(each)
    found = [
        KindEntry(
            name=name, backend=backend, count=len(group), ns=sum(each.ns for each in group),
            share=sum(each.share for each in group),
        )
        for (name, backend), group in groups.items()
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda kind: (-kind.ns, kind.name, kind.backend)))
