"""The folder that a Core ML delegate flattens into its payload: unpacked, and settled so that its bytes are always the same."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sdk.errors import CheckFailed

PACKAGE = "model.mlpackage"
MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
LONGEST = 1 << 20
"""Most bytes of a payload's list of files."""
REFERENCE = b"CMJR"
"""What a payload begins with whose package lies elsewhere in the file."""


DEBUGGING = ("debug_info.json", f"{PACKAGE}/executorch_debug_handle_mapping.json")
"""Files for profilers alone, which ExecuTorch's runtime does without; as large as a small model's program."""


class Settled:
    """Stands for ExecuTorch's own flattening and settles the folder first."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def flatten_directory_contents(self, path: str) -> Any:
        """Flatten the folder at `path`, its dates and random identifiers replaced, without the files for profilers."""
        settle(Path(path))
        return self._original.flatten_directory_contents(path)


def settle(folder: Path) -> None:
    """Drop the conversion's date and what profilers read, order the specification's maps, name everything by its content."""
    from coremltools.proto import Model_pb2

    for name in DEBUGGING:
        (folder / name).unlink(missing_ok=True)
    package = folder / PACKAGE
    file = package / MODEL
    spec = Model_pb2.Model.FromString(file.read_bytes())
    described = spec.description.metadata.userDefined
    for key in [key for key in described if key.endswith("conversion_date")]:
        del described[key]
    data = spec.SerializeToString(deterministic=True)
    file.write_bytes(data)
    seed = hashlib.sha256(data)
    weights = package / WEIGHTS
    if weights.is_file():
        seed.update(weights.read_bytes())
    _rename(package / "Manifest.json", seed.hexdigest())
    _identify(folder / "metadata.json", seed.hexdigest())


def _rename(manifest: Path, seed: str) -> None:
    """Give the package's items identifiers that follow from the content."""
    content = json.loads(manifest.read_text("utf-8"))
    names = {
        old: str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed}/{entry['path']}")).upper()
        for old, entry in content["itemInfoEntries"].items()
    }
    content["itemInfoEntries"] = dict(sorted((names[old], entry) for old, entry in content["itemInfoEntries"].items()))
    content["rootModelIdentifier"] = names[content["rootModelIdentifier"]]
    manifest.write_text(json.dumps(content, indent=4, sort_keys=True) + "\n", encoding="utf-8")


def _identify(metadata: Path, seed: str) -> None:
    content = json.loads(metadata.read_text("utf-8"))
    content["identifier"] = f"executorch_{uuid.uuid5(uuid.NAMESPACE_OID, seed)}"
    metadata.write_text(json.dumps(content, sort_keys=True), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Payload:
    """The files of a payload that a program needs: its specification, its weights (empty without any), the package's list."""

    spec: bytes
    weights: bytes
    manifest: bytes


def read_payload(payload: bytes) -> Payload:
    """Find the package's files in a payload, without writing any; CheckFailed when it is damaged.

    A payload is the bytes of the files, one after the other, then a JSON tree of them, written backwards: its last node is
    the folder that was flattened (ExecuTorch's `inmemory_filesystem`). Names in it are looked up, never used as paths.
    """
    if payload.startswith(REFERENCE):
        raise CheckFailed("a Core ML payload refers to a package that several methods share, which this SDK never writes")
    nodes = _nodes(payload)
    spec = _file(payload, nodes, f"{PACKAGE}/{MODEL}")
    manifest = _file(payload, nodes, f"{PACKAGE}/Manifest.json")
    if spec is None or manifest is None:
        raise CheckFailed("a Core ML payload is damaged: it holds no package")
    return Payload(spec, _file(payload, nodes, f"{PACKAGE}/{WEIGHTS}") or b"", manifest)


def _nodes(payload: bytes) -> list[dict[str, Any]]:
    try:
        tree, _ = json.JSONDecoder().raw_decode(payload[: -LONGEST - 1 : -1].decode("latin-1"))
        nodes: list[dict[str, Any]] = tree["nodes"]
        if not (isinstance(nodes, list) and nodes and all(isinstance(node, dict) for node in nodes)):
            raise CheckFailed("a Core ML payload is damaged: its list of files is empty")
        return nodes
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckFailed("a Core ML payload is damaged: its list of files cannot be read") from error


def _file(payload: bytes, nodes: list[dict[str, Any]], path: str) -> bytes | None:
    """The bytes of the file at `path` below the last node; None where there is none."""
    node = nodes[-1]
    try:
        for word in path.split("/"):
            if word not in node["children"]:
                return None
            node = nodes[int(node["children"][word])]
        start, size = int(node["dataRegion"]["offset"]), int(node["dataRegion"]["size"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise CheckFailed("a Core ML payload is damaged: its list of files is inconsistent") from error
    if start < 0 or size < 0 or start + size > len(payload):
        raise CheckFailed("a Core ML payload is damaged: a file is outside of it")
    return payload[start : start + size]


@contextmanager
def unpacked(payload: bytes) -> Iterator[Path]:
    """Hold a payload's package in a temporary place; CheckFailed when it is damaged."""
    found = read_payload(payload)
    with TemporaryDirectory(prefix="sdk-coreml-") as place:
        package = Path(place) / PACKAGE
        for name, data in ((MODEL, found.spec), (WEIGHTS, found.weights), ("Manifest.json", found.manifest)):
            file = package / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        yield package
