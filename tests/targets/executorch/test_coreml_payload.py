"""The payload of a Core ML delegate: read as ExecuTorch writes it, without writing files, refused when it is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.errors import CheckFailed
from targets.executorch.coreml_package import MODEL, PACKAGE, REFERENCE, WEIGHTS, read_payload, unpacked

FILES = {f"{PACKAGE}/{MODEL}": b"a program", f"{PACKAGE}/{WEIGHTS}": b"weights" * 9, f"{PACKAGE}/Manifest.json": b"{}"}


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What ExecuTorch's own flattening makes of a folder."""
    pytest.importorskip("executorch")
    from executorch.backends.apple.coreml import executorchcoreml

    folder = tmp_path_factory.mktemp("package") / "lowered_module"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    made: bytes = executorchcoreml.flatten_directory_contents(str(folder))
    return made


def test_the_files_are_those_that_were_flattened(payload: bytes) -> None:
    found = read_payload(payload)
    assert [found.spec, found.weights, found.manifest] == list(FILES.values())
    with unpacked(payload) as package:
        assert (package / MODEL).read_bytes() == found.spec and package.name == PACKAGE
    assert not package.exists()


@given(where=st.integers(0, 1 << 16), byte=st.integers(0, 255), cut=st.integers(0, 1 << 16))
def test_a_damaged_payload_is_refused_or_read(payload: bytes, where: int, byte: int, cut: int) -> None:
    changed = bytearray(payload)
    changed[where % len(changed)] = byte
    for data in (bytes(changed), payload[: cut % len(payload)], payload[cut % len(payload) :]):
        try:
            read_payload(data)
        except CheckFailed:
            continue


def _tree(*nodes: dict[str, object]) -> bytes:
    return json.dumps({"nodes": nodes}).encode()[::-1]


REFUSED = {
    "empty": b"",
    "no JSON": b"]]]",
    "no list": json.dumps(["nodes"]).encode()[::-1],
    "no nodes": _tree(),
    "deep": b"[" * 100_000,
    "beyond the end": _tree(
        {"dataRegion": {"offset": 0, "size": 1 << 40}, "children": {}},
        {"children": {"Manifest.json": 0, "Data": 2}},
        {"children": {"com.apple.CoreML": 3}},
        {"children": {"model.mlmodel": 0}},
        {"children": {PACKAGE: 1}},
    ),
    "a node that is not there": _tree({"children": {PACKAGE: 7}}),
    "children that are no map": _tree({"children": 7}),
    "shared by methods": REFERENCE + b"{}",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_payload_is_refused(name: str) -> None:
    with pytest.raises(CheckFailed, match="Core ML payload"):
        read_payload(REFUSED[name])


def test_names_in_the_tree_are_no_paths(payload: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    renamed = payload.replace(b"Manifest.json"[::-1], b"../../../evil"[::-1])
    assert renamed != payload
    with pytest.raises(CheckFailed, match="holds no package"), unpacked(renamed):
        pass
    assert not [file for file in tmp_path.parent.rglob("evil*")]
