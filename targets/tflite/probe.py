"""Measures the capability table on the installed runtime: `sdk targets probe tflite --out targets/tflite/capabilities.yaml`.

Every (kind of layer, scheme) is converted and executed in a process of its own, so that a crash is a result.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sdk.errors import SdkError
from sdk.lowering import Quantized
from sdk.models import Model
from sdk.schemes import Scheme, fits
from sdk.schemes.catalogue import all_schemes

SLOWEST = 0.25
"""A scheme slower than this (float latency / its latency) is refused: four times, and its noise."""

PARITY = 1e-2
"""Largest relative error against the same-quantization torch layer."""

KINDS = {
    "linear": ("linear",), "conv1d": ("conv1d",), "conv2d": ("conv2d",), "pointwise": ("conv2d",),
    "pointwise1d": ("conv1d",), "depthwise": ("depthwise",),
    "conv_transpose1d": ("conv_transpose1d",), "conv_transpose2d": ("conv_transpose2d",),
    "embedding": ("embedding",), "lstm": ("lstm",), "gru": ("gru",),
}
"""Probed case → the kinds of layers that it stands for."""


def layer_case(name: str) -> tuple[Any, tuple[Any, ...]]:
    """Return a one-layer module of realistic size and its example inputs."""
    import torch

    nn = torch.nn
    image, wave = torch.rand(1, 96, 28, 28) * 4 - 1, torch.rand(1, 64, 400) * 4 - 1
    cases: dict[str, Callable[[], tuple[Any, Any]]] = {
        "linear": lambda: (nn.Linear(512, 1024), torch.rand(1, 64, 512) * 4 - 1),
        "conv1d": lambda: (nn.Conv1d(64, 96, 5, padding=2), wave),
        "conv2d": lambda: (nn.Conv2d(96, 96, 3, padding=1), image),
        "pointwise": lambda: (nn.Conv2d(256, 256, 1), torch.rand(1, 256, 14, 14) * 4 - 1),
        "pointwise1d": lambda: (nn.Conv1d(256, 256, 1), torch.rand(1, 256, 200) * 4 - 1),
        "depthwise": lambda: (nn.Conv2d(96, 96, 3, padding=1, groups=96), image),
        "conv_transpose1d": lambda: (nn.ConvTranspose1d(64, 32, 4, stride=2, padding=1), wave),
        "conv_transpose2d": lambda: (nn.ConvTranspose2d(96, 48, 2, stride=2), image),
        "embedding": lambda: (nn.Embedding(8000, 256), torch.arange(64).reshape(1, 64) * 97),
        "lstm": lambda: (_first(nn.LSTM(128, 128, batch_first=True)), torch.rand(1, 16, 128) - 0.5),
        "gru": lambda: (_first(nn.GRU(128, 128, batch_first=True)), torch.rand(1, 16, 128) - 0.5),
    }
    torch.manual_seed(0)
    module, value = cases[name]()
    return nn.Sequential(module).eval(), (value,)


def _first(recurrent: Any) -> Any:
    import torch

    class First(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.cell = recurrent

        def forward(self, x: Any) -> Any:
            return self.cell(x)[0]

    return First()


def quantized_layer(model: Model, scheme: Scheme) -> Quantized:
    """Round the model's layers to `scheme`, with the ranges of its own example for static activations."""
    import torch

    from sdk.lowering import Range
    from sdk.quantize import quantize

    ranges = {}
    if scheme.activations == "static":
        with torch.no_grad():
            layer, result = model.inventory.layers[0], model.module()(*model.example)[0]
            tensors = {layer.input: model.example[0], layer.output: result}
        for name, value in tensors.items():
            low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
            scale = (high - low) / 255
            ranges[name] = Range(scale, round(-128 - low / scale))
    return quantize(model, {layer.name: scheme for layer in model.inventory.layers}, ranges)


def _measure(target: Any, model: Model, scheme: Scheme, pipe: Any) -> None:
    """In a child process: lower, run, compare, time against float; sends the result through `pipe`."""
    import torch

    torch.set_num_threads(1)
    try:
        reason = _refused(model, scheme, target)
        if reason is not None:
            pipe.send({"failure": reason})
            return
        quantized = quantized_layer(model, scheme)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "layer.tflite"
            sites = target.lower(quantized, path, None, lambda _: None)
            held = {name: found.scheme for name, found in target.realised(path, sites).items()}
            if set(held.values()) != {scheme.name}:
                pipe.send({"failure": f"the file holds {', '.join(sorted(set(held.values())))}"})
                return
            executable = target.open(path)
            inputs = [value.numpy() for value in model.example]
            got = executable.run(inputs)
            want = target.reference(quantized)(*model.example)
            target.lower(quantized_layer(model, all_schemes()["fp32"]), path, None, lambda _: None)
            speed = _speed(target.open(path), executable, inputs)
            pipe.send({"relative_error": _error(got, want), "speed": speed})
    except (SdkError, ValueError, RuntimeError) as error:
        pipe.send({"failure": " ".join(str(error).split())[:160]})


def _error(got: list[Any], want: tuple[Any, ...]) -> float:
    import numpy as np

    pairs = [(a.astype(np.float64), b.numpy().astype(np.float64)) for a, b in zip(got, want, strict=True)]
    return float(max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs))


def _speed(base: Any, executable: Any, inputs: list[Any], rounds: int = 100) -> float:
    """Float latency / latency: the least of many runs of each, taken in turns so that other load hits both."""
    least = [float("inf"), float("inf")]
    for _ in range(rounds):
        for index, candidate in enumerate((base, executable)):
            start = time.perf_counter()
            candidate.run(inputs)
            least[index] = min(least[index], time.perf_counter() - start)
    return least[0] / least[1]


def _refused(model: Model, scheme: Scheme, target: Any) -> str | None:
    """Why a scheme is not even tried: the format cannot hold it, or nothing models what the kernels compute."""
    from targets.tflite.pricing import objection

    layer = model.inventory.layers[0]
    if layer.kind in ("lstm", "gru") and scheme.activations != "float":
        return "no reference follows quantized activations inside a recurrent layer"
    return objection(scheme, layer.name, target._float(model))


def _isolated(target: Any, model: Model, scheme: Scheme) -> dict[str, Any]:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(False)
    process = context.Process(target=_measure, args=(target, model, scheme, sender))
    process.start()
    sender.close()
    try:
        result: dict[str, Any] = receiver.recv() if receiver.poll(120) else {"failure": "did not finish in 120 s"}
    except EOFError:
        process.join()
        result = {"failure": f"the process crashed (signal {-(process.exitcode or 0)})"}
    if process.is_alive():
        process.kill()
    process.join()
    return result


def probe_case(name: str) -> list[dict[str, Any]]:
    """Measure every integer and float scheme on one case; rows as in capabilities.yaml."""
    from sdk.models.load import load_model
    from targets.tflite.target import TfliteTarget

    target, model = TfliteTarget(), load_model(*layer_case(name), name=name)
    target.price(model, {}, None)
    rows = []
    for scheme in all_schemes().values():
        layer = model.inventory.layers[0]
        if scheme.format != "lut" and fits(scheme, layer.shape, layer.channel_axis) is None:
            tries = [_isolated(target, model, scheme)]
            while 0 < tries[-1].get("speed", 0) < SLOWEST and len(tries) < 3:
                tries.append(_isolated(target, model, scheme))
            rows.append(_row(name, scheme, max(tries, key=lambda found: float(found.get("speed", 0)))))
    return rows


def _row(case: str, scheme: Scheme, result: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"kinds": list(KINDS[case]), "scheme": scheme.name, "supported": "failure" not in result}
    if case.startswith("pointwise"):
        row["pointwise"] = True
    if scheme.granularity == "group":
        row["input_multiple"] = scheme.group
    if "failure" in result:
        return {**row, "reason": result["failure"]}
    row |= {"relative_error": float(f"{result['relative_error']:.1e}"), "speed": round(result["speed"], 2)}
    if row["relative_error"] > PARITY:
        return {**row, "supported": False, "reason": f"wrong: relative error {row['relative_error']:g}"}
    if row["speed"] < SLOWEST:
        return {**row, "supported": False, "reason": f"{1 / row['speed']:.0f} times slower than float"}
    return row


def kinds() -> list[str]:
    """The cases that are probed: a kind of layer, or a form of it with kernels of its own."""
    return list(KINDS)


def table(chosen: Sequence[str] = ()) -> str:
    """Measure the cases `chosen`, or all, and return the table."""
    import torch
    import yaml

    torch.set_num_threads(1)
    rows = [row for case in KINDS if case in (chosen or KINDS) for row in probe_case(case)]
    lines = [f"- {yaml.safe_dump(row, default_flow_style=True, sort_keys=False, width=10000).strip()}\n" for row in rows]
    return "".join(["# Measured by `sdk targets probe tflite`; do not edit by hand.\ncapabilities:\n", *lines])
