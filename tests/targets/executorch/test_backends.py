"""ExecuTorch for accelerators: schemes read back from the delegates' own bytes, numerics evaluated from them, coverage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("executorch")

from sdk.errors import BadInput, CheckFailed
from targets.executorch import TARGET
from targets.executorch.backends import Closed, all_backends
from targets.executorch.vulkan_graph import read_graph

SCHEMES = {"conv": "fp16", "depth": "fp16", "mix": "int8_channel", "wide": "int4_g32", "head": "fp16"}


WAYS = [("gpu", "vulkan"), ("npu", "coreml")]


def test_backends_are_found_by_their_files() -> None:
    found = all_backends()
    assert {"vulkan", "coreml", "qualcomm", "mediatek", "exynos"} <= set(found)
    assert all(name == backend.name for name, backend in found.items())


@pytest.mark.parametrize("name", [name for name, backend in all_backends().items() if isinstance(backend, Closed)])
def test_a_closed_backend_names_the_sdk_that_it_needs(name: str) -> None:
    chain = TARGET.on("npu", name).toolchain()
    assert chain.missing and "SDK" in chain.missing[0] and "--accelerator cpu" in chain.install


def test_a_backend_and_an_accelerator_must_agree() -> None:
    for kind, backend in (("gpu", None), ("npu", "vulkan"), ("gpu", "vulcan")):
        with pytest.raises(BadInput):
            TARGET.on(kind, backend)


@pytest.mark.parametrize("data", [b"", b"\0" * 64, b"\0\0\0\0VH00" + b"\xff" * 60])
def test_a_damaged_payload_is_refused(data: bytes) -> None:
    with pytest.raises(CheckFailed):
        read_graph(memoryview(data), {})


def small() -> Any:
    import torch
    from torch import nn

    from sdk.models.load import load_model

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.depth = nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.Conv2d(16, 16, 3, padding=1, groups=16)
            self.mix, self.wide, self.head = nn.Linear(16, 64), nn.Linear(64, 96), nn.Linear(96, 10)

        def forward(self, x: Any) -> Any:
            y = nn.functional.relu6(self.depth(torch.relu(self.conv(x)))).mean((2, 3), keepdim=True).flatten(1)
            return self.head(torch.relu(self.wide(nn.functional.gelu(self.mix(y)))))

    torch.manual_seed(0)
    return load_model(Net().eval(), (torch.randn(1, 3, 16, 16),))


def difference(executable: Any, reference: Any, *inputs: Any) -> float:
    """Relative difference of what a file computes from what torch does."""
    import torch

    got, want = torch.from_numpy(executable.run([each.numpy() for each in inputs])[0]), reference(*inputs)[0]
    return float((got - want).norm() / want.norm())


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "backend"), WAYS)
def test_a_small_net(tmp_path: Path, kind: str, backend: str) -> None:
    if backend == "coreml":
        pytest.importorskip("coremltools")
    import torch

    from sdk.quantize import quantize
    from sdk.schemes import scheme_named

    model, target = small(), TARGET.on(kind, backend)
    quantized = quantize(model, {name: scheme_named(scheme) for name, scheme in SCHEMES.items()})
    file, again = tmp_path / "net.pte", tmp_path / "again.pte"
    sites = target.lower(quantized, file, 18.0, lambda _: None)
    target.lower(quantized, again, 18.0, lambda _: None)
    assert file.read_bytes() == again.read_bytes()
    realised = target.realised(file, sites)
    assert {name: each.scheme for name, each in realised.items()} == SCHEMES
    covered: Any = target.coverage(file)
    assert covered.macs == covered.delegated == sum(layer.macs for layer in model.inventory.layers)
    price = target.price(model, {name: [scheme_named(scheme)] for name, scheme in SCHEMES.items()}, 18.0)
    predicted = price.base + sum(price.layers[name][scheme] for name, scheme in SCHEMES.items())
    assert abs(predicted - file.stat().st_size) <= 0.05 * file.stat().st_size
    executable, reference = target.open(file), target.reference(quantized)
    unquantized = target.reference(quantize(model, {}))
    assert executable.origin == "evaluator" and "not here" in executable.runtime
    for seed in range(3):
        torch.manual_seed(seed)
        x = torch.randn(1, 3, 16, 16)
        assert difference(executable, reference, x) < 1e-3 < 1e-2 < difference(executable, unquantized, x)
    cut = file.read_bytes()
    file.write_bytes(cut[: len(cut) // 2])
    with pytest.raises(CheckFailed):
        target.open(file)


def encoder() -> Any:
    """Attention over tokens with a mask, as in BERT: one block with random weights."""
    import torch
    from torch import nn

    from sdk.models.load import load_model

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(50, 32), nn.Embedding(20, 32)
            self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 8)
            self.register_buffer("at", torch.arange(8))
            self.query, self.key, self.value, self.out = (nn.Linear(32, 32) for _ in range(4))

        def forward(self, ids: Any, mask: Any) -> Any:
            x = self.words(ids) + self.places(self.at)
            q, k, v = (f(x).view(1, 8, 2, 16).transpose(1, 2) for f in (self.query, self.key, self.value))
            far = (1.0 - mask.to(x.dtype))[:, None, None, :] * -1e4
            seen = torch.softmax(q @ k.transpose(-1, -2) / 4.0 + far, -1) @ v
            return self.head(self.norm(x + self.out(seen.transpose(1, 2).reshape(1, 8, 32))).mean(1))

    torch.manual_seed(0)
    return load_model(Encoder().eval(), (torch.randint(0, 50, (1, 8)), torch.ones(1, 8, dtype=torch.int64)))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "backend"), WAYS)
def test_an_encoder(tmp_path: Path, kind: str, backend: str) -> None:
    if backend == "coreml":
        pytest.importorskip("coremltools")
    import torch

    from sdk.quantize import quantize
    from sdk.schemes import scheme_named

    model, target, file = encoder(), TARGET.on(kind, backend), tmp_path / "encoder.pte"
    schemes = {layer.name: "fp16" if layer.kind == "embedding" else "int8_channel" for layer in model.inventory.layers}
    quantized = quantize(model, {name: scheme_named(scheme) for name, scheme in schemes.items()})
    sites = target.lower(quantized, file, 17.0, lambda _: None)
    realised = target.realised(file, sites)
    assert {name: each.scheme for name, each in realised.items()} == schemes
    assert (realised["places"].bytes == 0) == (backend == "coreml"), "Core ML's compiler looks constant positions up"
    price = target.price(model, {name: [scheme_named(scheme)] for name, scheme in schemes.items()}, 17.0)
    predicted = price.base + sum(price.layers[name][scheme] for name, scheme in schemes.items())
    assert abs(predicted - file.stat().st_size) <= 0.05 * file.stat().st_size
    covered: Any = target.coverage(file)
    attention, mean = 2 * 2 * 8 * 8 * 16, 8 * 32  # the mean over tokens is a product with ones
    assert covered.macs == sum(layer.macs for layer in model.inventory.layers) + attention + mean
    assert covered.delegated == covered.macs and all(each.macs == 0 for each in covered.outside)
    inputs = torch.randint(0, 50, (1, 8)), (torch.arange(8)[None] < 5).long()
    assert difference(target.open(file), target.reference(quantized), *inputs) < 2e-3
