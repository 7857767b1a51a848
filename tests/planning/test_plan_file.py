"""The plan as a file: golden text, round trips, and one sentence for everything that can be wrong with it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.errors import BadInput
from sdk.planning import (
    Budgets,
    Calibration,
    Line,
    ModelId,
    Plan,
    Predicted,
    parse_plan,
    plan_text,
    read_plan,
    write_plan,
)
from sdk.schemes import all_schemes

GOLDEN = Path(__file__).parent / "golden_plan.yaml"
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12)
counts = st.integers(0, 2**53)
numbers = st.floats(0, 1e6, allow_nan=False)
lines = st.builds(
    Line,
    layer=words,
    kind=words,
    scheme=st.sampled_from(list(all_schemes())),
    bytes=counts,
    loss=numbers,
    reason=words,
)
plans = st.builds(
    Plan,
    schema_version=st.just(1),
    sdk=words,
    model=st.builds(ModelId, name=words, digest=words),
    device=words,
    target=words,
    min_os=st.none() | numbers,
    loss=st.sampled_from(["kl", "cosine", "mse", "losses.py:boxes@0123abcd"]),
    calibration=st.builds(
        Calibration,
        origin=st.sampled_from(["data", "synthetic (data-free)"]),
        samples=counts,
        digest=st.none() | words,
    ),
    objective=st.sampled_from(["quality", "smallest", "uniform q8"]),
    budgets=st.builds(Budgets, max_size=st.none() | st.integers(1, 2**53), max_loss=st.none() | numbers),
    predicted=st.builds(Predicted, artifact_bytes=counts, base_bytes=counts, loss=numbers),
    layers=st.lists(lines, max_size=4, unique_by=lambda line: line.layer).map(tuple),
)


@given(plans)
def test_what_is_written_is_read_again(plan):
    text = plan_text(plan)
    assert parse_plan(text, "plan.yaml") == plan
    assert plan_text(parse_plan(text, "plan.yaml")) == text


@given(plans)
def test_every_layer_is_one_line(plan):
    text = plan_text(plan)
    assert text.count("\n- {layer: ") == len(plan.layers)
    assert text.endswith("\n") and "\n\n" not in text


def test_the_golden_plan(plan):
    """Reviewed as a diff: `plan_text` of the plan of conftest's model at 12 kB."""
    assert plan_text(plan).replace(f"sdk: {plan.sdk}", "sdk: 0.0.0") == GOLDEN.read_text(encoding="utf-8")


def test_a_plan_is_written_whole_and_read_back(plan, tmp_path):
    write_plan(plan, tmp_path / "plan.yaml")
    assert read_plan(tmp_path / "plan.yaml") == plan
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]


BAD = {
    "unknown key": (
        "objective: quality",
        "objective: quality\nbudgtes: {}",
        "budgtes: is no known key; did you mean 'budgets'?",
    ),
    "unknown key of a line": (
        "reason:",
        "raeson:",
        "layers: blocks.0.fc: raeson: is no known key; did you mean 'reason'?",
    ),
    "missing field": ("device: pixel8\n", "", "device: is missing"),
    "missing in a line": ("kind: linear, ", "", "layers: blocks.0.fc: kind: is missing"),
    "renamed field": ("target:", "taget:", "taget: is no known key; did you mean 'target'?"),
    "future schema": (
        "schema_version: 1",
        "schema_version: 2",
        "schema_version: 2: this sdk reads 1: plan again",
    ),
    "no schema": ("schema_version: 1\n", "", "schema_version: is missing"),
    "unknown scheme": (
        "scheme: int8_channel_dynamic",
        "scheme: int9_channel_dynamic",
        "layers: blocks.0.fc: scheme: 'int9_channel_dynamic': no such scheme; "
        "did you mean 'int8_channel_dynamic'?",
    ),
    "unknown objective": (
        "objective: quality",
        "objective: fast",
        "objective: 'fast': is none of fastest, least-memory, quality, smallest, uniform fp32, uniform fp16, "
        "uniform q8, uniform q4, uniform q4f16, uniform q2, uniform exact; did you mean 'fastest'?",
    ),
    "unknown loss": ("loss: kl\n", "loss: kk\n", "loss: 'kk': input should be"),
    "layer twice": (
        "layer: blocks.1.fc",
        "layer: blocks.0.fc",
        "layers: 'blocks.0.fc': is there 2 times: keep one line",
    ),
    "negative bytes": (
        "bytes: 900",
        "bytes: -9",
        "layers: blocks.0.fc: bytes: -9: input should be greater than or equal to 0",
    ),
    "bytes as text": (
        "bytes: 900",
        "bytes: many",
        "layers: blocks.0.fc: bytes: 'many': input should be a valid integer",
    ),
    "infinite loss": (
        "loss: 0.002",
        "loss: .inf",
        "layers: blocks.0.fc: loss: inf: input should be a finite number",
    ),
    "yes as a number": ("max_loss: null", "max_loss: yes", "budgets.max_loss: True: must be a number"),
    "ambiguous size": (
        "max_size: 12000",
        "max_size: 12k",
        "budgets.max_size: '12k': size '12k' has an ambiguous unit 'k'",
    ),
    "key twice": (
        "{name: net",
        "{name: net, name: x",
        "line 4: is not valid YAML for a plan: key 'name' is there twice",
    ),
    "alias": (
        "device: pixel8",
        "device: &a pixel8\nx: *a",
        "line 6: is not valid YAML for a plan: aliases are not allowed",
    ),
    "broken YAML": ("layers:", "layers: [", "is not valid YAML for a plan: "),
    "python object": (
        "device: pixel8",
        "device: !!python/object/apply:os.getcwd []",
        "line 5: is not valid YAML for a plan: could not determine a constructor",
    ),
    "tabs": ("layers:\n-", "layers:\n\t-", "line 14: is not valid YAML for a plan: "),
    "line is no mapping": (
        "- {layer: blocks.0.fc",
        "- 7\n- {layer: blocks.0.fc",
        "layers: line 1: 7: input should be",
    ),
    "key is a list": ("device: pixel8", "? [1]\n: 2", "is not valid YAML for a plan: "),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_plans_get_one_sentence(name, plan):
    old, new, sentence = BAD[name]
    text = plan_text(plan)
    assert old in text
    with pytest.raises(BadInput) as error:
        parse_plan(text.replace(old, new, 1), "plan.yaml")
    assert str(error.value).startswith("plan.yaml: ")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "7", "- a", "hello", "\x00", "{", "a: b: c", "? {}\n: 1", "2026-11-24", "!!int x"]
)
def test_what_is_no_plan_at_all_gets_one_sentence(text):
    with pytest.raises(BadInput) as error:
        parse_plan(text, "plan.yaml")
    assert str(error.value).startswith("plan.yaml: ") and "\n" not in str(error.value)


def test_files_that_cannot_be_read_get_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        read_plan(tmp_path / "absent.yaml")
    with pytest.raises(BadInput, match="cannot be read"):
        read_plan(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="is not UTF-8 text"):
        read_plan(tmp_path / "binary.yaml")


def test_a_place_that_cannot_be_written_is_said(plan, tmp_path):
    with pytest.raises(BadInput, match="cannot be written"):
        write_plan(plan, tmp_path / "absent" / "plan.yaml")


def test_numbers_may_be_written_as_people_write_them(plan):
    text = (
        plan_text(plan)
        .replace("max_size: 12000", "max_size: 12kB")
        .replace("max_loss: null", "max_loss: 1e-1")
    )
    assert parse_plan(text, "plan.yaml").budgets == Budgets(max_size=12000, max_loss=0.1)
