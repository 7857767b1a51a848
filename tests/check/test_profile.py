"""A profile names what executed each operator, in which part of the graph, and what fell back to the runtime."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import sdk
from sdk.check.profile import FIRST, parse_profile
from sdk.check.result import read_result
from sdk.cli.main import run
from sdk.errors import DeviceUnfit, RunnerFailed

TOLD = f"""{FIRST}
runtime LiteRT 2.3.0 (C API, XNNPACK)
runs 4
op XNNPACK 0 1,2,4,90 Convolution (NHWC, F32) IGEMM
op XNNPACK 1 6,6,6,6 Clamp
op LiteRT 4 20,21,19,20 CUMSUM
op XNNPACK 0 3,3,3,3 Convolution (NHWC, F32) IGEMM
op XNNPACK 0 8,8,8,8 Clamp
end"""


def test_parts_fallbacks_and_kinds_are_read() -> None:
    found = parse_profile(TOLD, "exit code 0")
    assert [each.part for each in found.operators] == [0, 0, None, 1, 2]
    assert [each.ns for each in found.operators] == [3000, 6000, 20000, 3000, 8000]
    assert found.parts == 3 and [(each.name, each.node) for each in found.fallbacks] == [("CUMSUM", 4)]
    assert [(kind.name, kind.count, kind.ns) for kind in found.kinds] == [
        ("CUMSUM", 1, 20000), ("Clamp", 2, 14000), ("Convolution (NHWC, F32) IGEMM", 2, 6000),
    ]  # fmt: skip
    assert sum(kind.share for kind in found.kinds) == pytest.approx(1) == sum(each.share for each in found.operators)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (f"{FIRST}\nerror this LiteRT makes no profile", DeviceUnfit, "this LiteRT makes no profile"),
        (TOLD.removesuffix("end"), RunnerFailed, "no whole profile .exit code 137"),
        ("", RunnerFailed, "no whole profile"),
        (TOLD.replace("20,21", "20,x"), RunnerFailed, "lacks or spoils"),
        (TOLD.replace("op LiteRT", "op Phone"), RunnerFailed, "backend 'Phone'"),
        (TOLD.replace("runs 4\n", ""), RunnerFailed, "lacks or spoils 'runs'"),
    ],
)
def test_what_is_no_profile_is_refused(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        parse_profile(text, "exit code 137")


class Net(nn.Module):
    """Two linears with a sum between them that XNNPACK does not take."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(32, 64), nn.Linear(64, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cumsum(self.first(x), 1))


def test_litert_tells_what_fell_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    samples = [(torch.randn(4, 32),) for _ in range(2)]
    sdk.package(Net(), device="pixel8", target="tflite", uniform="fp32", calibration=samples, out=tmp_path / "net", name="net")
    assert run(["check", str(tmp_path / "net"), "--profile", "--out", str(tmp_path / "out.json")]) == 0
    assert "LiteRT's own kernels: CUMSUM (node 1)" in capsys.readouterr().out
    found = read_result(tmp_path / "out.json").profile
    assert found is not None and found.parts == 2 and [each.name for each in found.fallbacks] == ["CUMSUM"]
    assert sum("Fully Connected" in each.name for each in found.operators) == 2


def test_the_profile_is_in_the_json_and_refused_where_nothing_makes_one(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", str(bundle), "--on", "null", "--profile", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["profile"]["kinds"][0]["backend"] == "XNNPACK"
    assert run(["check", str(bundle), "--profile", "--json"]) == 2
    assert "is a bundle of null; LiteRT tells of each operator" in json.loads(capsys.readouterr().out)["error"]
