"""What a layer may take: capability ∩ device ∩ what the scheme needs, each refusal explained."""

import pytest

from sdk.errors import BadInput
from sdk.lowering import Capability
from sdk.models import Layer
from sdk.planning import Option, Refusal, allowed, considered
from sdk.schemes import Scheme, all_schemes, scheme_named


def layer(kind="linear", shape=(64, 96), weights=("fc.weight",), tied=(), groups=1):
    return Layer(
        name="fc", kind=kind, weights=weights, shape=shape, channel_axis=0, parameters=0, macs=0, bias=None,
        input="x", output="y", fused=("y",), uses=1, tied=tied, groups=groups,
    )  # fmt: skip


TABLE = [
    Capability(("linear", "lstm"), "int4_g32", True, min_os=18.0),
    Capability(("linear",), "int8_channel", True, input_multiple=32),
    Capability(("linear",), "int4_g128", True),
    Capability(("conv2d",), "int4_channel_dynamic", False, reason="25 times slower than float"),
    Capability(("conv_transpose2d",), "int8_channel_static", True, ungrouped=True),
    Capability(("linear",), "fp16", True),
    Capability(("linear",), "lut4_gc16", True),
]


def reason(scheme, a_layer=None, min_os=18.0, **more):
    _, refused = allowed(a_layer or layer(), TABLE, min_os, [scheme_named(scheme)], **more)
    return refused[0].reason if refused else None


@pytest.mark.parametrize(
    ("scheme", "a_layer", "min_os", "why"),
    [
        ("int4_g32", layer(), 18.0, None),
        ("int4_g32", layer(), 17.0, "needs OS 18, the device's floor is 17"),
        ("int4_g32", layer(), None, "needs OS 18 and the device states no OS version"),
        ("int4_g128", layer(), 18.0, "does not divide: 96 inputs per channel / group 128"),
        ("int8_channel", layer(shape=(64, 40)), 18.0, "40 inputs per channel are not a multiple of 32"),
        ("lut4_gc16", layer(shape=(40, 96)), 18.0, "does not divide: 40 output channels / 16"),
        ("int4_channel_dynamic", layer("conv2d", (8, 8, 3, 3)), 18.0, "25 times slower than float"),
        ("int4_channel_dynamic", layer(), 18.0, "not measured for linear layers on this target"),
        ("int8_channel_static", layer("conv_transpose2d", (8, 8, 2, 2)), 18.0, None),
        (
            "int8_channel_static",
            layer("conv_transpose2d", (8, 8, 2, 2), groups=4),
            18.0,
            "its kernels take one group of channels, the layer has 4",
        ),
        ("fp16", layer("gru"), 18.0, "not measured for gru layers on this target"),
        (
            "int4_g32",
            layer("lstm", (160, 32), ("weight_ih", "weight_hh")),
            18.0,
            "does not divide: 40 inputs per channel / group 32",
        ),
        ("int4_g32", layer("lstm", (128, 32), ("weight_ih", "weight_hh")), 18.0, None),
    ],
)
def test_every_refusal_says_why(scheme, a_layer, min_os, why):
    assert reason(scheme, a_layer, min_os) == why


def test_the_targets_float_is_always_allowed():
    assert reason("fp32", layer("gru")) is not None
    assert reason("fp32", layer("gru"), always=("fp32",)) is None


def test_the_device_may_object():
    def no_integers(_: Layer, scheme: Scheme) -> str | None:
        return "the device has no integer units" if scheme.format == "int" else None

    assert reason("int8_channel", restriction=no_integers) == "the device has no integer units"
    assert reason("fp16", restriction=no_integers) is None


def test_one_row_that_allows_is_enough():
    rows = [
        Capability(("linear",), "int8_channel", True, min_os=99.0),
        Capability(("linear",), "int8_channel", True),
    ]
    assert allowed(layer(), rows, 18.0, [scheme_named("int8_channel")])[1] == []


def test_every_scheme_is_either_kept_or_refused():
    kept, refused = allowed(layer(), TABLE, 18.0, all_schemes().values(), always=("fp32",))
    names = [scheme.name for scheme in kept]
    assert names == ["fp16", "fp32", "int4_g32", "int8_channel", "lut4_gc16"]
    assert sorted(names + [r.scheme for r in refused]) == list(all_schemes())


def test_losses_that_are_no_numbers_are_refused_with_the_number():
    schemes = [scheme_named(name) for name in ("fp16", "fp32", "int4_g32", "int8_channel", "lut4_gc16")]
    losses = {"fp16": 0.0, "int4_g32": float("inf"), "int8_channel": float("nan"), "lut4_gc16": 0.1}
    found = considered(layer(), schemes, [], {s.name: 5 for s in schemes if s.name != "lut4_gc16"}, losses)
    assert found.options == (Option("fp16", 5, 0.0),)
    assert found.refused == (
        Refusal("fp32", "its loss was not estimated"),
        Refusal("int4_g32", "its predicted loss is inf"),
        Refusal("int8_channel", "its predicted loss is nan"),
        Refusal("lut4_gc16", "the target gave no price for it"),
    )


def test_a_layer_without_any_scheme_is_an_error():
    with pytest.raises(BadInput, match="layer 'fc' \\(linear\\) has no usable scheme: fp16: too new"):
        considered(layer(), [], [Refusal("fp16", "too new")], {}, {})


def test_a_layer_without_any_scheme_says_every_reason_once_and_for_how_many():
    refused = [Refusal(f"lut{bits}", "no palettes") for bits in (1, 2, 3, 4)] + [Refusal("fp16", "too new")]
    with pytest.raises(BadInput, match=r"no usable scheme: fp16: too new; 4 schemes: no palettes$"):
        considered(layer(), [], refused, {}, {})


@pytest.mark.parametrize(
    ("scheme", "shape", "why"),
    [
        ("int4_g32", (64, 96, 1, 1), "wrong: relative error 1"),
        ("int4_g32", (64, 96, 3, 3), "only 1x1 convolutions hold group scales"),
        ("int4_channel_dynamic", (64, 96, 1, 1), None),
        ("int4_channel_dynamic", (64, 96, 3, 3), "25 times slower"),
        ("int4_g128", (64, 128, 3, 3), "not measured for conv2d layers on this target but for 1x1 ones"),
    ],
)
def test_what_was_measured_on_1x1_convolutions_is_said_of_those(scheme, shape, why):
    table = [
        Capability(("conv2d",), "int4_g32", False, reason="only 1x1 convolutions hold group scales"),
        Capability(("conv2d",), "int4_g32", False, pointwise=True, reason="wrong: relative error 1"),
        Capability(("conv2d",), "int4_channel_dynamic", False, reason="25 times slower"),
        Capability(("conv2d",), "int4_channel_dynamic", True, pointwise=True),
        Capability(("conv2d",), "int4_g128", True, pointwise=True),
    ]
    _, refused = allowed(layer("conv2d", shape), table, None, [scheme_named(scheme)])
    assert [each.reason for each in refused] == ([] if why is None else [why])
