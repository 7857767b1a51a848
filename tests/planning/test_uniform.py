"""One-word presets: everyone who can gets the width, the others are named."""

import pytest

from sdk.errors import BadInput
from sdk.planning import PRESETS, Choices, Option, Problem, Refusal, make_plan, uniform
from sdk.planning.presets import SCHEMES_BY_BITS
from sdk.planning.solve import Limits
from sdk.schemes import all_schemes, scheme_named


def choices(layer, *schemes, refused=()):
    options = [Option(name, 100 * scheme_named(name).bits, 0.1 / scheme_named(name).bits) for name in schemes]
    return Choices(layer, "linear", tuple(sorted(options, key=lambda o: o.bytes)), refused)


ODD = choices("odd", "fp32", "fp16", "int8_channel", refused=(Refusal("int4_g32", "31 inputs / group 32"),))
EVEN = choices("even", "fp32", "fp16", "int8_channel_dynamic", "int8_channel", "int4_g32", "lut6", "lut4")


@pytest.mark.parametrize(
    ("preset", "even", "odd"),
    [
        ("fp32", "fp32", "fp32"),
        ("fp16", "fp16", "fp16"),
        ("q8", "int8_channel_dynamic", "int8_channel"),
        ("q4", "int4_g32", "int8_channel"),
        ("q4f16", "int4_g32", "fp16"),
    ],
)
def test_each_layer_gets_the_width_or_the_next_best(preset, even, odd):
    found = uniform(Problem(50, (EVEN, ODD)), preset)
    chosen = {layer: option.scheme for layer, option in found.solution.chosen.items()}
    assert chosen == {"even": even, "odd": odd}
    assert found.solution.bytes == 50 + sum(100 * scheme_named(name).bits for name in (even, odd))
    assert found.quantized == sum(scheme_named(name).bits < 16 for name in (even, odd))


def test_who_could_not_is_named_with_the_reason(facts):
    problem = Problem(50, (EVEN, ODD))
    found = uniform(problem, "q4")
    assert [(m.layer, m.got, m.why) for m in found.missed] == [
        ("odd", "int8_channel", "int4_g32: 31 inputs / group 32")
    ]
    plan = make_plan(facts, problem, found.solution, Limits(), found.objective, found.reasons)
    assert plan.objective == "uniform q4"
    reasons = [line.reason for line in plan.layers]
    assert reasons == ["uniform q4", "uniform q4, but int4_g32: 31 inputs / group 32"]


def test_a_width_that_no_layer_takes_is_refused():
    with pytest.raises(BadInput) as error:
        uniform(Problem(50, (EVEN, ODD)), "q2")
    assert str(error.value) == (
        "preset q2: no layer of this model can be stored in 2 bits on this target: "
        "its layers can take 4, 6, 8, 16, 32 bits"
    )


def test_an_unknown_preset_gets_the_list():
    with pytest.raises(BadInput, match="use one of fp32, fp16, q8, q4, q4f16, q2"):
        uniform(Problem(50, (EVEN,)), "q5")


def test_every_scheme_of_the_catalogue_has_its_place():
    listed = {name: bits for bits, names in SCHEMES_BY_BITS.items() for name in names}
    assert listed == {name: scheme.bits for name, scheme in all_schemes().items()}
    assert all(bits in SCHEMES_BY_BITS for widths in PRESETS.values() for bits in widths)
