"""A `.pt2` runs no code of its own unless it is trusted."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from sdk.errors import BadInput
from sdk.models.load import load_model

Edit = Callable[[dict[str, bytes], Path], None]


class Touch:
    """Unpickled, it makes a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def _inputs(records: dict[str, bytes], mark: Path) -> None:
    buffer = io.BytesIO()
    torch.save(((torch.zeros(1, 4), Touch(mark)), {}), buffer)
    records["data/sample_inputs/model.pt"] = buffer.getvalue()


def _constant(records: dict[str, bytes], mark: Path) -> None:
    place = "data/constants/model_constants_config.json"
    records[place] = records[place].replace(b'"config":{}', b'"config":{"c":{"path_name":"opaque_obj_0","use_pickle":true}}')
    records["data/constants/opaque_obj_0"] = pickle.dumps(Touch(mark))


def _library(records: dict[str, bytes], mark: Path) -> None:
    records["data/aotinductor/model/model.so"] = b"\x7fELF"


def _expression(records: dict[str, bytes], mark: Path) -> None:
    code = "".join(f"chr({ord(letter)})+" for letter in f"__import__('os').mkdir({str(mark)!r})").rstrip("+")
    wanted = b'"as_expr": {"expr_str": "exec(%s)"}' % code.encode()
    records["models/model.json"] = records["models/model.json"].replace(b'"as_int": 1', wanted)


def _edited(path: Path, edit: Edit, mark: Path) -> None:
    torch.export.save(torch.export.export(nn.Linear(4, 4), (torch.zeros(1, 4),)), path)
    with zipfile.ZipFile(path) as file:
        records = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
    before = dict(records)
    edit(records, mark)
    assert records != before
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, data in records.items():
            file.writestr(f"net/{name}", data)


@pytest.mark.parametrize("edit", [_inputs, _constant, _library, _expression])
def test_code_is_not_run_without_trust(edit: Edit, tmp_path: Path) -> None:
    _edited(tmp_path / "net.pt2", edit, tmp_path / "ran")
    with pytest.raises(BadInput, match="--trust"):
        load_model(str(tmp_path / "net.pt2"))
    assert not (tmp_path / "ran").exists()


def test_a_trusted_one_is_read_as_torch_reads_it(tmp_path: Path) -> None:
    _edited(tmp_path / "net.pt2", _inputs, tmp_path / "ran")
    with pytest.raises(BadInput):
        load_model(str(tmp_path / "net.pt2"), trust=True)
    assert (tmp_path / "ran").exists()


def test_dynamic_shapes_are_no_code(tmp_path: Path) -> None:
    class Rows(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x, x]).reshape(2 * x.shape[0], 4)

    rows = torch.export.Dim("rows", min=2, max=64)
    program = torch.export.export(Rows(), (torch.zeros(8, 4),), dynamic_shapes=({0: rows},))
    torch.export.save(program, tmp_path / "net.pt2")
    assert load_model(str(tmp_path / "net.pt2")).outputs[0].shape == (16, 4)


def test_dynamic_shapes_that_follow_from_others_become_those_of_the_example(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return self.layer(x).sum(0) + self.layer(y).sum(0)  # type: ignore[no-any-return]

    rows = torch.export.Dim("rows", min=2, max=64)
    example = (torch.randn(4, 8), torch.randn(8, 8))
    program = torch.export.export(Two().eval(), example, dynamic_shapes={"x": {0: rows}, "y": {0: 2 * rows}})
    torch.export.save(program, tmp_path / "net.pt2")
    assert [spec.shape for spec in load_model(str(tmp_path / "net.pt2")).inputs] == [(4, 8), (8, 8)]
