"""How LiteRT's GPU delegate would split a graph: the laws of the parts, and a finished file read against the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.tflite.gpu_coverage import Node, partitions
from targets.tflite.gpu_operators import Operand, Operation, objection

FLOAT = Operand("FLOAT32", (1, 8, 8, 4), False)


def chain(taken: list[bool]) -> list[Node]:
    """Operators one after the other, of which the GPU takes some."""
    plain = Operation("RELU", (FLOAT,), (FLOAT,), None)
    return [Node((i,), (i + 1,), plain, None if gpu else "it stays") for i, gpu in enumerate(taken)]


@given(st.lists(st.booleans(), max_size=12))
def test_parts_of_a_chain_are_its_runs(taken: list[bool]) -> None:
    parts = partitions(chain(taken), frozenset({0}))
    assert sorted(index for part in parts for index in part) == [i for i, gpu in enumerate(taken) if gpu]
    assert len(parts) == sum(gpu and (i == 0 or not taken[i - 1]) for i, gpu in enumerate(taken))


def test_branches_that_can_run_together_are_one_part() -> None:
    plain = Operation("RELU", (FLOAT,), (FLOAT,), None)
    nodes = [
        Node((0,), (1,), plain, None), Node((0,), (2,), plain, "it stays"), Node((1,), (3,), plain, None),
        Node((2, 3), (4,), plain, None),
    ]  # fmt: skip
    assert partitions(nodes, frozenset({0})) == [[0, 2], [3]]


TABLE: dict[str, dict[str, str]] = {
    "RELU": {}, "ADD": {"check": "broadcast"}, "MEAN": {"check": "constant_axes"}, "PAD": {"check": "paddings"},
    "GATHER": {"check": "indices_second"},
}  # fmt: skip


def tensor(*shape: int, kind: str = "FLOAT32", constant: bool = False) -> Operand:
    return Operand(kind, shape, constant)


CASES: list[tuple[str, list[Operand], str | None]] = [
    ("RELU", [tensor(1, 4)], None),
    ("RELU", [tensor(1, 2, 3, 4, 5)], "5 axes"),
    ("RELU", [tensor(1, 4, kind="INT8")], "int8"),
    ("ERF", [tensor(1, 4)], "no such operator"),
    ("ADD", [tensor(1, 2, 3, 4), tensor(4, constant=True)], None),
    ("ADD", [tensor(1, 2, 3, 4), tensor(2, 3, 4)], None),
    ("ADD", [tensor(2, 2, 3, 4), tensor(2, 3, 4)], "broadcast"),
    ("MEAN", [tensor(1, 2, 3, 4), tensor(2, kind="INT32", constant=True)], None),
    ("MEAN", [tensor(1, 2, 3, 4), tensor(2, kind="INT32")], "int32"),
    ("PAD", [tensor(1, 2, 3, 4), tensor(4, 2, kind="INT32", constant=True)], None),
    ("PAD", [tensor(3, 4), tensor(2, 2, kind="INT32", constant=True)], "paddings"),
    ("GATHER", [tensor(9, 4, constant=True), tensor(3, kind="INT64")], "int64"),
]


@pytest.mark.parametrize(("name", "inputs", "said"), CASES)
def test_conditions(name: str, inputs: list[Operand], said: str | None) -> None:
    found = objection(Operation(name, tuple(inputs), (tensor(*inputs[0].shape),), None), TABLE)
    assert found is None if said is None else found is not None and said in found


def test_a_finished_file(tmp_path: Path) -> None:
    pytest.importorskip("litert_torch")
    import torch
    from torch import nn

    from sdk.models.load import load_model
    from sdk.quantize import quantize
    from sdk.schemes import scheme_named
    from targets.tflite import TARGET

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            y = self.conv(x).mean((2, 3))
            return self.head(y), y.argmax(-1)

    torch.manual_seed(0)
    model = load_model(Net().eval(), (torch.rand(1, 3, 8, 8),))
    gpu: Any = TARGET.on("gpu", None)
    quantized = quantize(model, {name: scheme_named("fp16") for name in ("conv", "head")})
    sites = gpu.lower(quantized, tmp_path / "net.tflite", None, lambda _: None)
    assert {each.scheme for each in gpu.realised(tmp_path / "net.tflite", sites).values()} == {"fp16"}
    covered = gpu.coverage(tmp_path / "net.tflite")
    assert covered.macs == 8 * 8 * 8 * 27 + 40
    outside = {each.operator: each.why for each in covered.outside}
    assert "no such operator" in outside["ARG_MAX"]
    assert covered.delegated == covered.macs and covered.partitions == 1
    place = gpu.placement(tmp_path / "net.tflite")
    assert sum(place.outside.values()) == sum(each.count for each in covered.outside)
