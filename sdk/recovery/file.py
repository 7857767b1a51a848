"""The file that recovery writes: what one model stores under one plan, in safetensors with what it belongs to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sdk.errors import BadInput
from sdk.lowering import Quantized
from sdk.recovery.train import Recovered
from sdk.rounding import Grid, exact_scale, least_integer

_HEADER = "snugfit_recovery"
_PARTS = ("codes", "scale", "table", "value")
_FLOAT = "float|"


@dataclass(frozen=True, slots=True)
class Recovery:
    """Trained grids by layer, trained `floats` by parameter (biases and norms), and where they come from.

    `model` and `data` are digests of the float model and of the training samples, `schemes` the plan's; `before` and
    `after` the mean `loss` on the `held_out` samples that training never saw.
    """

    model: str
    schemes: Mapping[str, str]
    loss: str
    data: str
    samples: int
    steps: int
    held_out: int
    before: float
    after: float
    grids: Mapping[str, tuple[Grid, ...]] = field(repr=False, default_factory=dict)
    floats: Mapping[str, Any] = field(repr=False, default_factory=dict)


def applied(found: Recovery | Recovered, quantized: Quantized) -> Quantized:
    """Return `quantized` with what was trained; float layers are so in the model too, where some targets take them."""
    values = {
        name: grid.value for layer in quantized.model.inventory.layers
        for name, grid in zip(layer.weights, found.grids.get(layer.name, ()), strict=False) if grid.value is not None
    }
    return replace(quantized, model=quantized.model.with_parameters({**values, **found.floats}), grids=found.grids)


def recovery_bytes(found: Recovered, quantized: Quantized, loss: str, data: str, samples: int, steps: int) -> bytes:
    """Return the file of a finished training; the same training gives the same bytes."""
    from safetensors.torch import save

    schemes = {name: scheme.name for name, scheme in quantized.schemes.items()}
    whole = Recovery(
        quantized.model.digest, dict(sorted(schemes.items())), loss, data, samples, steps,
        found.held_out, found.before, found.after,
    )
    tensors: dict[str, Any] = {f"{_FLOAT}{name}": value.contiguous() for name, value in found.floats.items()}
    for layer, grids in found.grids.items():
        for index, grid in enumerate(grids):
            parts = {part: getattr(grid, part) for part in _PARTS}
            tensors |= {f"{layer}|{index}|{part}": value.contiguous() for part, value in parts.items() if value is not None}
    held: set[int] = set()
    for name, value in tensors.items():
        if value.data_ptr() in held:
            tensors[name] = value.clone()  # of a tied layer; the format takes no tensor twice
        held.add(value.data_ptr())
    said = {name: value for name, value in asdict(whole).items() if name not in ("grids", "floats")}
    return bytes(save(tensors, metadata={_HEADER: json.dumps(said, sort_keys=True)}))


def describe_recovery(path: Path, option: str = "--recovered") -> Recovery:
    """Read what a file says of itself, without its grids; BadInput when it is no recovery file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise BadInput(f"{option} {path}: there is no such file; `sdk recover` writes one")
    try:
        with safe_open(path, "pt") as file:
            return Recovery(**json.loads((file.metadata() or {})[_HEADER]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{option} {path}: is no recovery file ({type(error).__name__}): make it again with `sdk recover`"
        ) from None


def read_recovery(path: Path, quantized: Quantized, option: str = "--recovered") -> Recovery:
    """Read a file for the model and plan of `quantized`, whose grids say what each tensor has to look like.

    BadInput when it is damaged, of another model or plan, or holds what its scheme cannot store.
    """
    from safetensors.torch import load

    found, where = describe_recovery(path, option), f"{option} {path}"
    tensors = load(path.read_bytes())
    if found.model != quantized.model.digest:
        raise BadInput(f"{where}: was trained for another model ({found.model[:19]}): run `sdk recover` for this one")
    schemes = {name: scheme.name for name, scheme in quantized.schemes.items()}
    other = [name for name in schemes if found.schemes.get(name) != schemes[name]]
    if other or len(found.schemes) != len(schemes):
        layer = other[0] if other else next(iter(set(found.schemes) - set(schemes)))
        raise BadInput(
            f"{where}: layer {layer!r} was trained as {found.schemes.get(layer)}, the plan has {schemes.get(layer)}: "
            "run `sdk recover` with this plan"
        )
    grids = {
        layer: tuple(_filled(grid, tensors, f"{layer}|{index}", where) for index, grid in enumerate(each))
        for layer, each in quantized.grids.items()
    }
    return replace(found, grids=grids, floats=_floats(tensors, quantized, where))


def _floats(tensors: Mapping[str, Any], quantized: Quantized, where: str) -> dict[str, Any]:
    """The file's parameters in floating point; BadInput when they are not the model's."""
    import torch

    found = {name.removeprefix(_FLOAT): value for name, value in tensors.items() if name.startswith(_FLOAT)}
    known = {name: value for name, value in quantized.model.module().named_parameters() if name in found}
    for name, value in found.items():
        own = known.get(name)
        if own is None or own.shape != value.shape or own.dtype != value.dtype or not bool(torch.isfinite(value).all()):
            raise BadInput(f"{where}: {name}: is no parameter of this model, or not finite: run `sdk recover` again")
    return found


def _filled(grid: Grid, tensors: Mapping[str, Any], name: str, where: str) -> Grid:
    """`grid` with the file's tensors; BadInput when they do not fit it."""
    wanted = {part: getattr(grid, part) for part in _PARTS if getattr(grid, part) is not None}
    parts: dict[str, Any] = {part: tensors.get(f"{name}|{part}") for part in wanted}
    for part, value in wanted.items():
        got = parts[part]
        if got is None or got.shape != value.shape or got.dtype != value.dtype:
            raise BadInput(f"{where}: {name}|{part}: is missing or of another shape: run `sdk recover` with this plan")
    filled = replace(grid, **parts)
    if not _storable(filled):
        raise BadInput(f"{where}: {name}: holds values that {grid.scheme.name} cannot store: run `sdk recover` again")
    return filled


def _storable(grid: Grid) -> bool:
    """Whether codes, scale and table are within what the scheme stores exactly."""
    import torch

    scheme = grid.scheme
    if scheme.format == "int":
        most = 2 ** (scheme.bits - 1) - 1
        exact = torch.equal(grid.scale, exact_scale(grid.scale, scheme.granularity == "group"))
        return bool(exact and least_integer(scheme.bits) <= int(grid.codes.min()) and int(grid.codes.max()) <= most)
    if scheme.format == "lut":
        ascending = bool((grid.table.diff(dim=1) >= 0).all())
        scales = grid.scale is None or _halves(grid.scale)
        return bool(_halves(grid.table) and scales and ascending and int(grid.codes.max()) < 2**scheme.bits)
    return _halves(grid.value) if scheme.bits == 16 else bool(torch.isfinite(grid.value).all())


def _halves(value: Any) -> bool:
    """Whether float16 holds the values exactly."""
    import torch

    return bool(torch.isfinite(value).all()) and torch.equal(value, value.half().float())
