"""Measures capabilities.yaml: every scheme on every kind of layer, lowered and run in a process of its own.

Run by `sdk targets probe executorch`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sdk.errors import SdkError
from sdk.schemes import all_schemes, scheme_named

KINDS: dict[str, tuple[str, ...]] = {
    "linear": (
        "int8_channel", "int8_g32", "int4_channel", "int4_g32", "int8_channel_dynamic", "int4_channel_dynamic",
        "int4_g32_dynamic", "int4_g64_dynamic", "int4_g128_dynamic", "int4_g256_dynamic", "int2_channel_dynamic",
        "int8_channel_static", "int4_channel_static",
    ),
    "conv1d": ("int8_channel", "int8_channel_dynamic", "int8_channel_static", "int4_channel_static"),
    "conv2d": ("int8_channel", "int8_channel_dynamic", "int8_channel_static", "int4_channel_static"),
    "depthwise": ("int8_channel", "int8_channel_dynamic", "int8_channel_static", "int4_channel_static"),
    "conv_transpose1d": ("int8_channel", "int8_channel_dynamic", "int8_channel_static"),
    "conv_transpose2d": ("int8_channel", "int8_channel_dynamic", "int8_channel_static"),
    "embedding": (
        "int8_channel", "int4_channel", "int2_channel", "int8_g32", "int4_g32", "int4_g64", "int4_g128", "int2_g32",
    ),
    "lstm": (),
    "gru": (),
}  # fmt: skip
"""Kind of layer → schemes that could be meant for it; fp32 is measured for each."""

MULTIPLES = {"int4_channel_dynamic": 2, "int4_channel": 2, "int2_channel": 4, "int4_channel_static": 2}
"""Scheme per channel → multiple that the inputs per channel must be, because codes fill whole bytes."""

MOST_ERROR = {"static": 3e-2, "dynamic": 2e-3, "float": 2e-3}
"""Largest relative error of one layer against its torch reference, by the scheme's activations.

Integer requantization rounds differently from fake quantization; float arithmetic over equal codes does not.
"""

LEAST_SPEED = 0.25
"""A scheme below this fraction of the float speed is refused."""

RUNS, SECONDS = 40, 600


GROUPED = ("conv_transpose1d", "conv_transpose2d")
"""Kinds whose integer kernels are measured with several groups of channels as well."""


def kinds() -> list[str]:
    """The kinds of layers that are probed."""
    return list(KINDS)


def table(chosen: Sequence[str] = ()) -> str:
    """Measure every pair of kind (of those `chosen`, or all) and scheme, and return the table; a crash is a row too."""
    import yaml

    rows = [_row(kind, scheme) for kind, schemes in KINDS.items() if kind in (chosen or KINDS) for scheme in ("fp32", *schemes)]
    head = "# Measured by `sdk targets probe executorch` (one layer each, this kind of machine: speed is a ratio).\n"
    return head + yaml.safe_dump({"capabilities": rows}, sort_keys=False)


def _row(kind: str, scheme: str) -> dict[str, Any]:
    """One row; `ungrouped` where the scheme fails with more than one group."""
    row = _measured(kind, scheme, 1)
    if row["supported"] and kind in GROUPED and not _measured(kind, scheme, 2)["supported"]:
        row["ungrouped"] = True
    return row


def _measured(kind: str, scheme: str, groups: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "targets.executorch.probe", kind, scheme, str(groups)]
    row: dict[str, Any] = {"kinds": [kind], "scheme": scheme}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return row | {"supported": False, "reason": f"took longer than {SECONDS} s"}
    if done.returncode < 0:
        return row | {"supported": False, "reason": f"crashed the process (signal {-done.returncode})"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        return row | {"supported": False, "reason": (done.stderr.strip().splitlines() or ["failed"])[-1][:160]}
    return row | _judged(scheme, json.loads(lines[-1]))


def _judged(scheme: str, found: dict[str, Any]) -> dict[str, Any]:
    """Turn one measurement into the rest of a row."""
    if "reason" in found:
        return {"supported": False, "reason": found["reason"].replace("'", "")}
    most = MOST_ERROR[scheme_named(scheme).activations]
    numbers = {"relative_error": float(f"{found['error']:.2g}"), "speed": float(f"{found['speed']:.2g}")}
    if found["realised"] != scheme:
        return numbers | {"supported": False, "reason": f"stored as {found['realised']}"}
    if not found["error"] <= most:
        return numbers | {"supported": False, "reason": f"runs, but its result is {found['error']:.2g} off the reference"}
    if found["speed"] < LEAST_SPEED:
        return numbers | {"supported": False, "reason": f"{1 / found['speed']:.0f} times slower than float"}
    multiple = all_schemes()[scheme].group or MULTIPLES.get(scheme, 1)
    return numbers | {"supported": True} | ({"input_multiple": multiple} if multiple > 1 else {})


def measure(kind: str, scheme: str, groups: int = 1) -> dict[str, Any]:
    """Lower one layer with `scheme` and in float, and compare results, stored form and time in this process."""
    import torch

    from sdk.models.load import load_model

    torch.manual_seed(0)
    module, inputs = _layer(kind, groups)
    model = load_model(module.eval(), inputs)
    name = model.inventory.layers[0].name
    with tempfile.TemporaryDirectory() as folder:
        try:
            error, realised, seconds = _run(model, name, scheme, Path(folder))
            return {"error": error, "realised": realised, "speed": _run(model, name, "fp32", Path(folder))[2] / seconds}
        except SdkError as refusal:
            return {"reason": str(refusal)[:160]}


def _run(model: Any, name: str, scheme: str, folder: Path) -> tuple[float, str, float]:
    """Relative error of the artifact against its reference, its realised scheme, and least seconds of one run."""
    import numpy as np

    from sdk.lowering.types import Range
    from sdk.quantize import quantize
    from targets.executorch import TARGET

    path = folder / f"{scheme}.pte"
    quantized = quantize(model, {name: scheme_named(scheme)}, dict(_ranges(model, Range)))
    sites = TARGET.lower(quantized, path, None, lambda _: None)
    program = TARGET.open(path)
    inputs = [value.numpy() for value in model.example]
    got = np.concatenate([value.ravel() for value in program.run(inputs)])
    expected = np.concatenate([value.detach().numpy().ravel() for value in TARGET.reference(quantized)(*model.example)])
    error = float(np.linalg.norm(got - expected) / np.linalg.norm(expected))
    return error, TARGET.realised(path, sites)[name].scheme, _least_seconds(lambda: program.run(inputs))


def _least_seconds(run: Callable[[], Any]) -> float:
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def _ranges(model: Any, make: Any) -> Iterator[tuple[str, Any]]:
    """Ranges of the tensors of a one-layer model, from its example."""
    import torch

    for layer in model.inventory.layers:
        (output, *_), source = model.module()(*model.example), model.example[0]
        for name, value in ((layer.input, source), (layer.output, output)):
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                low, high = min(0.0, float(value.min())), max(0.0, float(value.max()))
                scale = (high - low) / 255
                yield name, make(scale, round(-128 - low / scale))


def _layer(kind: str, groups: int) -> tuple[Any, tuple[Any, ...]]:
    """A module of one layer of `kind` (`groups` for transposed convolutions), and its example inputs."""
    import torch
    from torch import nn

    image, signal = torch.randn(1, 64, 28, 28), torch.randn(1, 64, 512)
    made: dict[str, tuple[Any, Any]] = {
        "linear": (nn.Linear(512, 512), torch.randn(1, 64, 512)),
        "conv1d": (nn.Conv1d(64, 64, 3, padding=1), signal),
        "conv2d": (nn.Conv2d(64, 128, 1), image.relu()),
        "depthwise": (nn.Conv2d(64, 64, 3, padding=1, groups=64), image),
        "conv_transpose1d": (nn.ConvTranspose1d(64, 64, 2, 2, groups=groups), signal),
        "conv_transpose2d": (nn.ConvTranspose2d(64, 64, 2, 2, groups=groups), image),
        "embedding": (nn.Embedding(2000, 256), torch.randint(0, 2000, (1, 64))),
        "lstm": (nn.LSTM(32, 32, batch_first=True), torch.randn(1, 8, 32)),
        "gru": (nn.GRU(32, 32, batch_first=True), torch.randn(1, 8, 32)),
    }
    module, value = made[kind]
    return module, (value,)


if __name__ == "__main__":  # a process of its own for each measurement
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
