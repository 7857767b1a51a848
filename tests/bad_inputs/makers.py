"""Files that no table can spell out: each maker writes its damage into the app's folder."""

from __future__ import annotations

import json
from pathlib import Path


def _program():
    import torch

    return torch.export.export(torch.nn.Sequential(torch.nn.Linear(4, 4)), (torch.zeros(1, 4),))


def truncated_pt2(folder: Path) -> None:
    import torch

    torch.export.save(_program(), folder / "net.pt2")
    raw = (folder / "net.pt2").read_bytes()
    (folder / "net.pt2").write_bytes(raw[: len(raw) // 2])


def random_pt2(folder: Path) -> None:
    (folder / "net.pt2").write_bytes(bytes(range(256)) * 40)


def zip_pt2(folder: Path) -> None:
    import zipfile

    with zipfile.ZipFile(folder / "net.pt2", "w") as file:
        file.writestr("readme.txt", "not a program")


def pickled(folder: Path) -> None:
    import torch

    torch.save(torch.nn.Linear(2, 2), folder / "net.pt")


def _bert(folder: Path) -> Path:
    model = folder / "bert"
    model.mkdir()
    config = {
        "architectures": ["BertModel"], "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 50, "max_position_embeddings": 16,
    }  # fmt: skip
    (model / "config.json").write_text(json.dumps(config))
    return model


def corrupt_safetensors(folder: Path) -> None:
    (_bert(folder) / "model.safetensors").write_bytes(b"\xff" * 64)


def short_safetensors(folder: Path) -> None:
    """A header that promises more bytes than there are."""
    entry = {"embeddings.word_embeddings.weight": {"dtype": "F32", "shape": [50, 32], "data_offsets": [0, 6400]}}
    header = json.dumps(entry).encode()
    (_bert(folder) / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 100)


def no_weights(folder: Path) -> None:
    _bert(folder)


def no_config(folder: Path) -> None:
    (folder / "bert").mkdir()
    (folder / "bert" / "tokenizer.json").write_text("{}")


def foreign_code(folder: Path) -> None:
    model = _bert(folder)
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "code.Mine", "AutoModel": "code.Mine"}}
    (model / "config.json").write_text(json.dumps(config))
    (model / "code.py").write_text("raise SystemExit('this code must not run')\n")


def not_a_bundle(folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "photos" / "cat.jpg").write_bytes(b"cat")


def broken_bundle(folder: Path) -> None:
    (folder / "made").mkdir()
    (folder / "made" / "manifest.json").write_text('{"schema_version": 1')


def newer_bundle(folder: Path) -> None:
    (folder / "made").mkdir()
    (folder / "made" / "manifest.json").write_text('{"schema_version": 99}')


def binary_yaml(folder: Path) -> None:
    (folder / "sdk.yaml").write_bytes(b"\xff\xfe\x00model")


def profile(folder: Path) -> None:
    """A valid profile; the table then edits it."""
    (folder / "phone.yaml").write_text(PROFILE)


PROFILE = """\
schema: 1
name: phone
title: Phone
vendor: me
sources:
  page: me.example/phone
os: {name: android}
ram: {value: 8GiB, source: page}
soc:
  name: {value: Chip, source: page}
accelerators:
  - kind: cpu
    targets:
      tflite: {value: [fp32, int8], source: page}
targets: [tflite]
"""


def pickled_pt2(folder: Path) -> None:
    """A program whose example inputs are a pickle that calls something."""
    import io
    import zipfile

    import torch

    class Call:
        def __reduce__(self):
            return Path.mkdir, (folder / "ran",)

    buffer = io.BytesIO()
    torch.save(((torch.zeros(1, 4), Call()), {}), buffer)
    torch.export.save(_program(), folder / "good.pt2")
    with zipfile.ZipFile(folder / "good.pt2") as good, zipfile.ZipFile(folder / "net.pt2", "w") as net:
        for name in good.namelist():
            net.writestr(name, buffer.getvalue() if "sample_inputs" in name else good.read(name))
    (folder / "good.pt2").unlink()
