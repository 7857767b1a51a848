"""What ExecuTorch's target asks of a backend for an accelerator, and what is read back from one of its payloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sdk.lowering.types import Realised
from sdk.schemes import Scheme


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator inside a delegate: its name and its multiply-accumulates."""

    name: str
    macs: int


@dataclass(frozen=True, slots=True)
class Stored:
    """One weight inside a delegate: the fingerprint of its values and scales (see `sites`), its scheme and bytes."""

    fingerprint: str
    realised: Realised


@dataclass(frozen=True, slots=True)
class Part:
    """One delegate's payload, read: its operators in order, its weights by position, and how it is evaluated here.

    `run` takes and returns torch tensors in the order of the delegate's inputs and outputs. CheckFailed, or Missing where
    an operator cannot be evaluated.
    """

    operators: tuple[Operator, ...]
    weights: Mapping[int, Stored]
    run: Callable[[Sequence[Any]], list[Any]]


class Backend(Protocol):
    """One backend that lowers here. `delegate` is what ExecuTorch's runtime calls it; `kinds` are accelerators it reaches.

    All compute in float16, and their files hold floats and scales in it. `table` is the file beside the module that
    documents what it runs.
    """

    name: str
    title: str
    delegate: str
    kinds: tuple[str, ...]
    packages: tuple[str, ...]
    install: str
    table: str
    why_outside: str
    """Why an operator stays outside: what the backend's partitioner says of those it does not take."""
    evaluated_by: str
    """What executes the payload here, such as `its graph, evaluated in float16`."""

    def partitioner(self, kind: str, min_os: float | None) -> Any:
        """Return ExecuTorch's partitioner for an accelerator."""
        ...

    def patched(self) -> AbstractContextManager[None]:
        """Hold what makes the backend's lowering quick and its bytes the same every time."""
        ...

    def overhead(self, scheme: Scheme, min_os: float | None) -> int:
        """Return the bytes beyond codes and scales that a layer in an integer scheme adds to the file (measured)."""
        ...

    def read(self, payload: memoryview, blobs: Mapping[str, memoryview]) -> Part:
        """Read a payload of this backend; CheckFailed when it is damaged."""
        ...


@dataclass(frozen=True, slots=True)
class Closed:
    """A backend that nothing here can lower through: `sdk` is what it needs, and where that comes from."""

    name: str
    title: str
    kinds: tuple[str, ...]
    sdk: str
    source: str

    @property
    def mend(self) -> str:
        """What a user can do."""
        return f"a compiler of the maker's own ({self.source}), which snugfit does not drive: use --accelerator cpu"


def table_of(name: str) -> Path:
    """Return where the documented table called `name` is."""
    return Path(__file__).with_name(name)
