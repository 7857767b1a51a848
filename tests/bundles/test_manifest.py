"""The manifest is deterministic, strict, and sealed: any edit is found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sdk.bundles import (
    Artifact,
    Figure,
    Figures,
    LayerEntry,
    Manifest,
    MetricEntry,
    ModelEntry,
    Operators,
    Tensor,
    artifact_bytes,
    as_arrays,
    describe_artifact,
    dump,
    integrity,
    open_bundle,
    parse,
    read_reference,
    write_bundle,
    write_reference,
)
from sdk.bundles.hashing import sha256_file
from sdk.errors import BadInput, CheckFailed


def manifest(**changes: object) -> Manifest:
    figures = Figures(
        artifact_bytes=Figure(value=3, origin="predicted"),
        loss=Figure(value=0.25, origin="predicted"),
        relative_error=Figure(value=None, origin="predicted"),
    )
    values: dict[str, object] = {
        "model": ModelEntry(
            name="net", digest="ab", inputs=(Tensor(name="x", dtype="float32", shape=(1, 2)),), outputs=()
        ),
        "device": "pixel8",
        "target": "null",
        "artifact": Artifact(path="model.bin", bytes=3, sha256="cd"),
        "layers": (LayerEntry(name="a", kind="linear", parameters=6, planned="int4_g32", realised="int4_g32", bytes=3),),
        "ops": Operators(delegates=1, delegated={"linear": 1}, outside={"argmax": 2}),
        "loss": "kl",
        "predicted": figures,
        "measured": figures,
        "rounding_floor": Figure(value=1e-6, origin="host"),
        "metric": MetricEntry(name="accuracy", float=0.5, artifact=0.25),
        "tool_versions": {"torch": "2.13.0"},
        "command": "sdk package",
        "plan_sha256": "01",
        "reference_sha256": "02",
    }
    return Manifest.model_validate(values | changes)


def test_it_reads_back_and_is_the_same_text_every_time() -> None:
    text = dump(manifest())
    assert dump(parse(text, "m")) == text
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert json.loads(text)["metric"] == {"name": "accuracy", "float": 0.5, "quantized": None, "artifact": 0.25}


def test_it_is_read_with_the_keys_of_the_file_too() -> None:
    made = manifest(metric=MetricEntry(name="top1", float=0.5))
    assert made["artifact"]["bytes"] == made.artifact.bytes
    assert made["metric"]["float"] == 0.5
    with pytest.raises(KeyError):
        made["nothing"]


def test_every_changed_byte_is_found() -> None:
    raw = dump(manifest()).encode()
    for i in range(len(raw)):
        changed = raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1 :]
        with pytest.raises((CheckFailed, BadInput), match="m: "):
            parse(changed, "m")


EDITED = [("layers", 0, "realised"), ("artifact", "bytes"), ("measured", "loss", "value"), ("device",), ("digest",)]


@pytest.mark.parametrize("path", EDITED)
def test_every_edited_value_is_found(path: tuple[str | int, ...]) -> None:
    data = json.loads(dump(manifest()))
    inner = data
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = 7 if isinstance(inner[path[-1]], int) else "other"
    with pytest.raises(CheckFailed):
        parse(json.dumps(data, indent=1, sort_keys=True) + "\n", "m")


def test_broken_unknown_newer_and_older_manifests() -> None:
    for text in ("", "{", "[]", '{"schema_version": 2}', dump(manifest()).replace('"device"', '"devise"')):
        with pytest.raises(CheckFailed):
            parse(text, "m")
    for version, mend in ((3, "this sdk reads 2: upgrade it"), (1, "this sdk reads 2: package again")):
        with pytest.raises(BadInput, match=mend):
            parse(f'{{"schema_version": {version}}}', "m")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Figure(value=value, origin="host")


def test_a_directory_is_hashed_over_its_sorted_files(tmp_path: Path) -> None:
    package = tmp_path / "model.mlpackage"
    (package / "Data" / "weights").mkdir(parents=True)
    (package / "Manifest.json").write_text("{}")
    (package / "Data" / "weights" / "weight.bin").write_bytes(b"12345")
    found = describe_artifact(package)
    assert found.bytes == 7 == artifact_bytes(package)
    assert list(found.files) == ["Data/weights/weight.bin", "Manifest.json"]
    (package / "Manifest.json").rename(package / "Other.json")
    assert describe_artifact(package).sha256 != found.sha256
    (package / "link").symlink_to("Other.json")
    with pytest.raises(CheckFailed, match="link"):
        describe_artifact(package)


def test_the_recorded_run_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    import numpy

    ids, x = numpy.arange(6).reshape(2, 3), numpy.linspace(0, 1, 4, dtype="float32")
    for name in ("one", "two"):
        write_reference(tmp_path / name, [ids, x], [x * 2])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    inputs, outputs = read_reference(tmp_path / "one")
    assert [a.dtype.name for a in inputs] == ["int64", "float32"]
    numpy.testing.assert_array_equal(outputs[0], x * 2)
    (tmp_path / "one").write_bytes(b"junk")
    with pytest.raises(CheckFailed, match="one"):
        read_reference(tmp_path / "one")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    def fill(folder: Path) -> None:
        (folder / "model.bin").write_bytes(b"123")
        (folder / "plan.yaml").write_text("plan")
        (folder / "reference.safetensors").write_bytes(b"ref")
        made = manifest(
            artifact=describe_artifact(folder / "model.bin"),
            plan_sha256=sha256_file(folder / "plan.yaml"),
            reference_sha256=sha256_file(folder / "reference.safetensors"),
        )
        (folder / "manifest.json").write_text(dump(made))

    return write_bundle(tmp_path / "app", fill)


def test_integrity_names_what_was_changed(bundle: Path) -> None:
    found = open_bundle(bundle).manifest
    assert all(each.ok for each in integrity(bundle, found))
    for name in ("model.bin", "plan.yaml", "reference.safetensors"):
        kept = (bundle / name).read_bytes()
        for damage in (bytes([kept[0] ^ 1]) + kept[1:], kept[:-1], kept + b"x", None):
            (bundle / name).unlink() if damage is None else (bundle / name).write_bytes(damage)
            bad = [each.what for each in integrity(bundle, found) if not each.ok]
            assert len(bad) == 1 and name in bad[0]
        (bundle / name).write_bytes(kept)
    (bundle / "virus").touch()
    assert [each.what for each in integrity(bundle, found) if not each.ok] == ["other files"]


@pytest.mark.parametrize("name", ["plan.yaml", "extra/deep", ".hidden"])
def test_a_link_or_a_pipe_anywhere_is_found_and_not_opened(name: str, bundle: Path, tmp_path: Path) -> None:
    place = bundle / name
    place.parent.mkdir(exist_ok=True)
    for make in (lambda: place.symlink_to(tmp_path / "outside"), lambda: os.mkfifo(place)):
        place.unlink(missing_ok=True)
        make()
        (found,) = integrity(bundle, open_bundle(bundle).manifest)
        assert not found.ok and name in found.detail


def test_a_linked_manifest_is_no_manifest(bundle: Path, tmp_path: Path) -> None:
    (bundle / "manifest.json").rename(tmp_path / "elsewhere.json")
    (bundle / "manifest.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BadInput, match="is not a bundle"):
        open_bundle(bundle)


@pytest.mark.parametrize("path", ["..", "../model.bin", "/etc/passwd", "manifest.json", ".", "plan.yaml"])
def test_an_artifact_elsewhere_is_refused(path: str, bundle: Path) -> None:
    made = open_bundle(bundle).manifest
    (bundle / "manifest.json").write_text(dump(made.model_copy(update={"artifact": Artifact(path=path, bytes=3, sha256="x")})))
    bad = [each for each in integrity(bundle, open_bundle(bundle).manifest) if not each.ok]
    assert "leads out of the bundle" in bad[0].detail


def test_a_changed_artifact_is_not_executed(bundle: Path) -> None:
    import numpy

    (bundle / "model.bin").write_bytes(b"124")
    with pytest.raises(CheckFailed, match="sha256"):
        open_bundle(bundle).run(numpy.zeros((1, 2), "float32"))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((), "takes 1 inputs"),
        (("zeros(1,3)",), "shape"),
        (("ints",), "int64"),
    ],
)
def test_inputs_are_checked(bundle: Path, inputs: tuple[str, ...], words: str) -> None:
    import numpy

    made = {"zeros(1,3)": numpy.zeros((1, 3), "float32"), "ints": numpy.zeros((1, 2), "int64")}
    with pytest.raises(BadInput, match=words):
        open_bundle(bundle).run(*(made[name] for name in inputs))


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        ("float32", [[1, 2.5]], None),
        ("float32", [[1, 2]], None),
        ("float32", "array([[1.5, 2.0]], 'float64')", None),
        ("float32", "array([[1.5, 2.0]], 'float16')", None),
        ("float32", "array([[1e300, 0.0]], 'float64')", "1e\\+300"),
        ("float32", [[1.0], [2.0, 3.0]], "array"),
        ("int64", "array([[1, 2]], 'int32')", None),
        ("int64", "array([[True, False]])", None),
        ("int64", [[1, 2]], None),
        ("int64", [[1.0, 2.0]], "float64"),
        ("int32", "array([[2**40, 0]])", "1099511627776"),
        ("uint8", "array([[-1, 0]])", "-1"),
        ("bool", "array([[1, 0]])", None),
        ("bool", "array([[2, 0]])", "2"),
    ],
)
def test_inputs_are_converted_where_nothing_is_lost(dtype: str, value: object, words: str | None) -> None:
    import numpy

    given = eval(value, {"array": numpy.array}) if isinstance(value, str) else value
    spec = (Tensor(name="x", dtype=dtype, shape=(1, 2)),)
    if words is not None:
        with pytest.raises(BadInput, match=words):
            as_arrays((given,), spec)
    else:
        (made,) = as_arrays((given,), spec)
        assert made.dtype == dtype and (made == numpy.asarray(given)).all()


def test_scalars_stay_scalars(tmp_path: Path) -> None:
    import numpy

    (made,) = as_arrays((numpy.float32(2.5),), (Tensor(name="x", dtype="float32", shape=()),))
    write_reference(tmp_path / "run", [made], [numpy.array(3, "int64")])
    ((given,), (answer,)) = read_reference(tmp_path / "run")
    assert made.shape == given.shape == answer.shape == () and (given, answer) == (2.5, 3)


def test_tensors_of_any_float_width_are_inputs() -> None:
    import torch

    spec = (Tensor(name="x", dtype="float32", shape=(1, 2)),)
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        (made,) = as_arrays((torch.tensor([[0.5, -2.0]], dtype=dtype, requires_grad=True),), spec)
        assert made.dtype == "float32" and made.tolist() == [[0.5, -2.0]]


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such bundle"):
        open_bundle(tmp_path / "none")
    with pytest.raises(BadInput, match="is not a bundle"):
        open_bundle(tmp_path)
