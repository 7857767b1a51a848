"""Measures capabilities.yaml: every kind of layer in every scheme, lowered, read back and evaluated.

Run by `sdk targets probe coreml`. Speed cannot be measured off Apple's hardware and stays absent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sdk.errors import SdkError
from sdk.models import Model
from sdk.schemes import Scheme, all_schemes
from targets.coreml.layout import least_ios, scale_group
from targets.coreml.target import CoreMLTarget

WORST = 1e-2
"""Largest relative error of a supported row."""

RECHECKED = (16, 17, 18)
"""Deployment targets that are measured: a scheme must hold on every one from its least iOS on."""

HEADER = """\
# What Core ML packages hold, measured by `sdk targets probe coreml` with coremltools 9.0 on Linux.
# relative_error: the package under the MIL reference evaluator against the same-quantization torch layer.
# speed: not measured, Core ML runs on Apple's systems only. iOS 16 and 17 expand compressed weights ahead of
# running for most schemes: they save disk and download there, not memory.
"""

REASONS: tuple[tuple[Callable[[Scheme], bool], str], ...] = (
    (lambda s: s.activations == "dynamic", "Core ML has no dynamic activation quantization"),
    (lambda s: s.activations == "static", "static activations are not written by this target yet"),
    (lambda s: s.format == "float", "ML programs are written in float16, their native float"),
    (lambda s: s.bits == 2, "ML programs hold no 2-bit integers; palettes (lut2) are 2 bits"),
    (lambda s: True, "ML programs do not hold it"),
)


def models() -> Iterator[tuple[str, Model]]:
    """Yield one small model per kind of layer; every shape takes every group size."""
    import torch
    from torch import nn

    from sdk.models.load import load_model

    class First(nn.Module):  # type: ignore[misc]
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.layer = inner

        def forward(self, x: torch.Tensor) -> Any:
            found = self.layer(x)
            return found[0] if isinstance(found, tuple) else found

    torch.manual_seed(0)
    cases: dict[str, tuple[nn.Module, Any]] = {
        "linear": (nn.Linear(256, 64), torch.randn(1, 256)),
        "conv1d": (nn.Conv1d(256, 64, 1), torch.randn(1, 256, 8)),
        "conv2d": (nn.Conv2d(64, 64, 2), torch.randn(1, 64, 6, 6)),
        "depthwise": (nn.Conv2d(64, 64, 16, groups=64), torch.randn(1, 64, 16, 16)),
        "conv_transpose1d": (nn.ConvTranspose1d(256, 64, 1), torch.randn(1, 256, 8)),
        "conv_transpose2d": (nn.ConvTranspose2d(64, 64, 2, 2), torch.randn(1, 64, 4, 4)),
        "embedding": (nn.Embedding(64, 256), torch.arange(12).reshape(1, 12)),
        "lstm": (nn.LSTM(256, 256), torch.randn(3, 1, 256)),
        "gru": (nn.GRU(256, 256), torch.randn(3, 1, 256)),
    }
    for kind, (layer, example) in cases.items():
        yield kind, load_model(First(layer).eval(), (example,))


def measure(target: CoreMLTarget, model: Model, scheme: Scheme, ios: int, folder: Path) -> float | str:
    """Return the relative error of a model whose layers are all in `scheme`, or why it cannot be had."""
    import torch

    from sdk.quantize import quantize

    try:
        schemes = {layer.name: scheme for layer in model.inventory.layers}
        quantized = quantize(model, schemes)
        path = folder / target.artifact
        sites = target.lower(quantized, path, float(ios), lambda _: None)
        found = {r.scheme for r in target.realised(path, sites).values()}
        if found != {scheme.name}:
            return f"the package holds {', '.join(sorted(found))} instead"
        got = target.open(path).run([x.numpy() for x in model.example])
    except SdkError as error:
        return str(error)
    expected = target.reference(quantized)(*model.example)
    pairs = list(zip(got, expected, strict=True))
    error_norm = sum(float((torch.from_numpy(a) - b).norm()) for a, b in pairs)
    return error_norm / sum(float(b.norm()) for _, b in pairs)


def kinds() -> list[str]:
    """The kinds of layers that are probed."""
    return [kind for kind, _ in models()]


def table(chosen: Sequence[str] = ()) -> str:
    """Measure the kinds `chosen`, or all, and return the table."""
    import yaml

    return HEADER + yaml.safe_dump({"rows": rows(chosen)}, sort_keys=False, default_flow_style=None, width=150)


def rows(chosen: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of the table: per scheme one for the kinds that behave the same."""
    target = CoreMLTarget()
    found: dict[str, dict[str, Any]] = {name: {} for name in all_schemes()}
    with tempfile.TemporaryDirectory() as folder:
        for kind, model in models():
            if chosen and kind not in chosen:
                continue
            for scheme in all_schemes().values():
                found[scheme.name][kind] = _row(target, model, scheme, Path(folder))
    return [row for name in found for row in _joined(name, found[name])]


def _row(target: CoreMLTarget, model: Model, scheme: Scheme, folder: Path) -> dict[str, Any]:
    least = least_ios(scheme)
    if least is None:
        return {"supported": False, "reason": next(text for rule, text in REASONS if rule(scheme))}
    errors = [measure(target, model, scheme, ios, folder) for ios in RECHECKED if ios >= least]
    refused = [e for e in errors if isinstance(e, str)]
    if refused:
        return {"supported": False, "reason": refused[0].rsplit(": ", 1)[-1]}
    worst = max(e for e in errors if isinstance(e, float))
    row = {"supported": worst <= WORST, "relative_error": float(f"{worst:.0e}"), "min_os": float(least)}
    return row if worst <= WORST else {**row, "reason": f"relative error {worst:.2g}"}


def _joined(scheme: str, kinds: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Join kinds whose rows differ in the measured error only."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for kind, row in kinds.items():
        groups.setdefault(tuple((k, v) for k, v in row.items() if k != "relative_error"), []).append(kind)
    joined = []
    for members in groups.values():
        row = dict(kinds[members[0]])
        if "relative_error" in row:
            row["relative_error"] = max(kinds[m]["relative_error"] for m in members)
        joined.append({"kinds": members, "scheme": scheme, **row, **_multiple(scheme, row)})
    return joined


def _multiple(name: str, row: dict[str, Any]) -> dict[str, int]:
    scheme = all_schemes()[name]
    group = scale_group(scheme)
    return {"input_multiple": group} if row["supported"] and group else {}
