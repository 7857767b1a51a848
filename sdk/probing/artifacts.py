"""Makes the artifacts of a probe: every network in every scheme that the target can hold its layers in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sdk.costs.activations import activations
from sdk.costs.kernels import kernel_kind
from sdk.costs.work import Step, steps_of
from sdk.errors import SdkError
from sdk.lowering import Target
from sdk.models import Model
from sdk.planning import allowed
from sdk.probing.networks import Network
from sdk.schemes import all_schemes, scheme_named

WHAT = "probe.json"


@dataclass(frozen=True, slots=True)
class Probe:
    """One artifact: network and scheme, its file, what its steps do, and the elements that it converts to or from 8 bits.

    `schemes`: of each step (empty: an operator). `inputs` are DTYPE:SHAPE of what it takes. `outside`: the runtime's accelerated
    part takes less than half of its operators.
    """

    network: str
    scheme: str
    file: Path
    steps: tuple[Step, ...]
    schemes: tuple[str, ...]
    converted: tuple[int, ...]
    inputs: tuple[str, ...]
    outside: bool = False


def build_network(network: Network, target: Target, folder: Path) -> Iterator[Probe]:
    """Yield the network's artifacts in `folder`; a scheme that the converter refuses is left out."""
    import torch

    from sdk.models.load import load_model

    torch.manual_seed(0)
    module, example = network.make()
    model = load_model(module.eval(), example, name="probe")
    steps = steps_of(model)
    for scheme in _schemes(network, model, target):
        place = folder / scheme
        place.mkdir(parents=True)
        chosen = _chosen(network, model, scheme, target)
        try:
            _lower(model, target, chosen, place / target.artifact)
            found = target.placement(place / target.artifact)
        except SdkError:
            continue
        if network.parted and found.delegates < 2:
            continue
        yield Probe(
            network.name, scheme, place / target.artifact, steps, tuple(chosen.get(step.layer or "", "") for step in steps),
            _converted(model, scheme), tuple(map(_said, model.example)),
            outside=sum(found.outside.values()) > sum(found.delegated.values()),
        )  # fmt: skip


def _chosen(network: Network, model: Model, scheme: str, target: Target) -> dict[str, str]:
    """The scheme of every layer."""
    floats = {layer.name for layer in model.inventory.layers if network.among_floats and kernel_kind(layer) == "pointwise"}
    return {layer.name: target.fallback if layer.name in floats else scheme for layer in model.inventory.layers}


def _schemes(network: Network, model: Model, target: Target) -> list[str]:
    """The schemes that every layer may take; the fallback alone for operators."""
    if not network.layers:
        return [target.fallback]
    rows, always = target.capabilities(), (target.fallback,)
    kept = {layer.name: allowed(layer, rows, None, all_schemes().values(), None, always)[0] for layer in model.inventory.layers}
    names = sorted(set.intersection(*({scheme.name for scheme in schemes} for schemes in kept.values())))
    return [name for name in names if scheme_named(name).activations == "static"] if network.border else names


def _lower(model: Model, target: Target, chosen: Mapping[str, str], path: Path) -> None:
    from sdk.models.samples import take_samples
    from sdk.quantize import quantize
    from sdk.sensitivity.ranges import calibrate_ranges

    schemes = {name: scheme_named(scheme) for name, scheme in chosen.items()}
    static = [layer for layer in model.inventory.layers if schemes[layer.name].activations == "static"]
    ranges = calibrate_ranges(model, static, take_samples(model, [model.example], 1)) if static else {}
    target.lower(quantize(model, schemes, ranges), path, None, lambda _: None)


def _converted(model: Model, scheme: str) -> tuple[int, ...]:
    """Elements of each conversion to or from 8 bits."""
    if scheme_named(scheme).activations != "static":
        return ()
    found, named = activations(model), {layer.name for layer in model.inventory.layers}
    return tuple(t.bytes // 4 for t in found.tensors for _ in found.copies(t, named, ()) or ())


def _said(value: Any) -> str:
    return f"{str(value.dtype).removeprefix('torch.')}:{'x'.join(map(str, value.shape)) or 'scalar'}"


def save_probes(probes: list[Probe], folder: Path) -> None:
    """Copy the artifacts into `folder` and write what they are."""
    rows = []
    for probe in probes:
        place = folder / probe.scheme
        place.mkdir(exist_ok=True)
        shutil.copyfile(probe.file, place / probe.file.name)
        rows.append({**asdict(probe), "file": f"{probe.scheme}/{probe.file.name}"})
    (folder / WHAT).write_text(json.dumps(rows))


def load_probes(folder: Path) -> list[Probe]:
    """Read what `save_probes` wrote."""
    return [
        Probe(row["network"], row["scheme"], folder / row["file"], tuple(Step(**step) for step in row["steps"]),
              tuple(row["schemes"]), tuple(row["converted"]), tuple(row["inputs"]), row["outside"])
        for row in json.loads((folder / WHAT).read_text())
    ]  # fmt: skip
