"""Hand edits are legal, counted again, and refused with the reason where they cannot be."""

import pytest

from sdk.errors import BadInput, BudgetError
from sdk.planning import Limits, diff, make_plan, parse_plan, plan_text, revalidate, solve


def edited(plan, old, new):
    text = plan_text(plan)
    assert old in text
    return parse_plan(text.replace(old, new, 1), "plan.yaml")


def test_an_unedited_plan_stays_byte_for_byte(plan, problem, facts):
    assert plan_text(revalidate(plan, problem, facts)) == plan_text(plan)


def test_an_edit_is_counted_again(plan, problem, facts):
    change = edited(plan, "scheme: int8_channel_dynamic, bytes: 900", "scheme: int4_g32_dynamic, bytes: 900")
    again = revalidate(change, problem, facts)
    assert again.layers[0].bytes == 500
    assert again.layers[0].loss == 0.2
    assert again.layers[0].reason == "set by hand: -400 B, +0.2 loss"
    assert again.layers[1:] == plan.layers[1:]
    assert again.predicted.artifact_bytes == plan.predicted.artifact_bytes - 400
    assert again.predicted.loss == pytest.approx(plan.predicted.loss + 0.198, rel=1e-5)


def test_the_order_of_edited_lines_is_the_models(plan, problem, facts):
    shuffled = plan.model_copy(update={"layers": tuple(reversed(plan.layers))})
    assert plan_text(revalidate(shuffled, problem, facts)) == plan_text(plan)


@pytest.mark.parametrize(
    ("old", "new", "kind", "sentence"),
    [
        (
            "layer: blocks.0.fc",
            "layer: block.0.fc",
            BadInput,
            "p.yaml: layers: 'block.0.fc': the model has no such layer; did you mean 'blocks.0.fc'?",
        ),
        (
            "scheme: int8_channel_dynamic",
            "scheme: lut4",
            BadInput,
            "p.yaml: layers: blocks.0.fc: scheme: 'lut4': is not allowed here "
            "(not measured for linear layers on this target): use one of fp32, int4_g32_dynamic, int8_channel_dynamic, int8_g32",
        ),
        (
            "scheme: int8_channel_dynamic",
            "scheme: int2_g32",
            BadInput,
            "p.yaml: layers: blocks.0.fc: scheme: 'int2_g32': is not allowed here (it was not considered): "
            "use one of fp32, int4_g32_dynamic, int8_channel_dynamic, int8_g32",
        ),
        (
            "scheme: int8_channel_dynamic",
            "scheme: fp32",
            BudgetError,
            "p.yaml: budgets.max_size: 12000: its layers need 13,600 bytes, 1,600 too many: "
            "raise the limit or give layers fewer bits",
        ),
        (
            "max_loss: null",
            "max_loss: 1.0e-3",
            BudgetError,
            "p.yaml: budgets.max_loss: 0.001: its layers lose 0.0103: "
            "raise the limit or give layers more bits",
        ),
        (
            "target: executorch",
            "target: tflite",
            BadInput,
            "p.yaml: target: tflite: not the wanted executorch: give --target tflite, or plan again",
        ),
        (
            "sha256:abababab",
            "sha256:00000000",
            BadInput,
            "p.yaml: model.digest: sha256:00000000abab: is of another model (net) than net "
            "(sha256:abababababab): plan this model with `sdk plan`",
        ),
    ],
)
def test_impossible_edits_say_what_is_possible(plan, problem, facts, old, new, kind, sentence):
    with pytest.raises(kind) as error:
        revalidate(edited(plan, old, new), problem, facts, "p.yaml")
    assert str(error.value) == sentence


def test_a_missing_layer_is_named(plan, problem, facts):
    short = plan.model_copy(update={"layers": plan.layers[2:]})
    with pytest.raises(BadInput, match=r"'blocks\.0\.fc' \(and 1 more\) has no line: every layer needs one"):
        revalidate(short, problem, facts)


def test_diff_names_what_changed(plan, problem, facts):
    assert diff(plan, plan).same
    limits = Limits(max_size=49_000)
    other = make_plan(facts, problem, solve(problem, limits), limits, "quality")
    found = diff(plan, other)
    assert [(h.field, h.old, h.new) for h in found.header][:1] == [("budgets.max_size", 12000, 49000)]
    assert {c.layer: (c.old, c.new, c.bytes) for c in found.layers}["blocks.0.fc"] == (
        "int8_channel_dynamic",
        "fp32",
        2300,
    )
    assert found.bytes == other.predicted.artifact_bytes - plan.predicted.artifact_bytes
    assert sum(change.bytes for change in found.layers) == found.bytes


def test_diff_of_different_models_lists_layers_of_one_side(plan):
    renamed = plan.layers[0].model_copy(update={"layer": "head"})
    other = plan.model_copy(update={"layers": (*plan.layers[1:], renamed)})
    assert diff(plan, other).only_first == ("blocks.0.fc",)
    assert diff(plan, other).only_second == ("head",)
