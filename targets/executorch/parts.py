"""The delegates of a finished .pte for an accelerator: what each holds, where each layer's weight is, and an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sdk.errors import CheckFailed, SdkError
from sdk.lowering.types import Arrays, Realised, Site
from targets.executorch.backends.backend import Backend, Part
from targets.executorch.machine import Machine, load_machine
from targets.executorch.program import Opened, open_file, read_calls
from targets.executorch.sites import call_places, read_call_place

PLACE = "part"
"""First word of the place of a weight inside a delegate."""


def read_parts(opened: Opened, backend: Backend) -> list[Part]:
    """Read every delegate; CheckFailed when one is damaged, or another backend's."""
    parts = []
    for name, payload in opened.delegates:
        if name != backend.delegate:
            raise CheckFailed(f"{opened.name}: holds a delegate for {name}, not for {backend.delegate}")
        try:
            parts.append(backend.read(payload, opened.blobs))
        except SdkError:
            raise
        except Exception as error:
            raise CheckFailed(f"{opened.name} is damaged: a delegate cannot be read ({type(error).__name__})") from error
    return parts


def find_places(opened: Opened, backend: Backend) -> dict[str, Site]:
    """Return fingerprint → place of every stored weight, in the delegates and beside them; the first of equal ones stays."""
    found: dict[str, Site] = {}
    for number, part in enumerate(read_parts(opened, backend)):
        for index, stored in part.weights.items():
            found.setdefault(stored.fingerprint, f"{PLACE}:{number}:{index}")
    for print_, site in call_places(read_calls(opened)):
        found.setdefault(print_, site)
    return found


def read_places(opened: Opened, backend: Backend, sites: Mapping[str, Site]) -> dict[str, Realised]:
    """Return scheme and bytes of every layer; CheckFailed when there is nothing at a layer's place.

    A layer without a place was folded into float16 constants.
    """
    parts, calls = read_parts(opened, backend), read_calls(opened)

    def at(place: str) -> Realised:
        kind, first, second = [*place.split(":"), "", ""][:3]
        if not (first.isdigit() and second.isdigit()):
            raise CheckFailed(f"the place {place!r} of a layer cannot be read")
        if kind != PLACE:
            return read_call_place(calls, int(first), int(second))
        stored = parts[int(first)].weights.get(int(second)) if int(first) < len(parts) else None
        if stored is None:
            raise CheckFailed(f"the file has no weight at {place}")
        return stored.realised

    def layer(site: Site) -> Realised:
        found = [at(place) for place in site.split()] or [Realised("fp16", 0)]
        return Realised(" and ".join(sorted({each.scheme for each in found})), sum(each.bytes for each in found))

    return {name: layer(site) for name, site in sites.items()}


@dataclass(slots=True)
class Evaluated:
    """A .pte that is evaluated from its own bytes; `runtime` says that no runtime executed it."""

    runtime: str
    origin: str
    machine: Machine

    def run(self, inputs: Arrays) -> Arrays:
        """Evaluate once; CheckFailed when the program cannot be evaluated on these inputs."""
        import numpy as np
        import torch

        given = [torch.from_numpy(np.array(value, order="C")) for value in inputs]
        try:
            return [value.numpy() for value in self.machine.run(given)]
        except SdkError:
            raise
        except Exception as error:
            first = (str(error).strip().splitlines() or ["no message"])[0][:200]
            raise CheckFailed(f"the program cannot be evaluated: {type(error).__name__}: {first}") from error


def open_evaluated(path: Path, backend: Backend, runtime: str) -> Evaluated:
    """Load the file at `path`; CheckFailed when it is corrupt."""
    from executorch.exir.passes import _quant_patterns_and_replacements  # noqa: F401  (registers the quantized lookups)

    opened = open_file(path)
    return Evaluated(runtime, "evaluator", load_machine(opened, [part.run for part in read_parts(opened, backend)]))
