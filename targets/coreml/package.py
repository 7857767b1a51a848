"""The folder of an .mlpackage: specification, weights and a manifest whose identifiers come from the content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdk.errors import CheckFailed

MODEL = Path("com.apple.CoreML/model.mlmodel")
WEIGHTS = Path("com.apple.CoreML/weights")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that is being written."""

    path: Path

    @property
    def weights(self) -> Path:
        """The weights file."""
        return self.path / "Data" / WEIGHTS / "weight.bin"

    def finish(self, spec: Any) -> None:
        """Write the specification (protobuf maps sorted) and the manifest."""
        data = spec.SerializeToString(deterministic=True)
        (self.path / "Data" / MODEL).write_bytes(data)
        (self.path / "Manifest.json").write_text(_manifest(data))


@contextlib.contextmanager
def write_package(path: Path) -> Iterator[Package]:
    """Make an empty package at `path`; an unfinished one is removed."""
    shutil.rmtree(path, ignore_errors=True)
    (path / "Data" / WEIGHTS).mkdir(parents=True)
    try:
        yield Package(path)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def _manifest(spec: bytes) -> str:
    """The manifest's text; its identifiers are hashes of the specification."""
    seed = hashlib.sha256(spec).hexdigest()
    model, weights = (str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed}/{part}")).upper() for part in ("model", "weights"))
    entries = {
        model: {"author": "com.apple.CoreML", "description": "CoreML Model Specification", "name": MODEL.name,
                "path": MODEL.as_posix()},
        weights: {"author": "com.apple.CoreML", "description": "CoreML Model Weights", "name": WEIGHTS.name,
                  "path": WEIGHTS.as_posix()},
    }
    content = {"fileFormatVersion": "1.0.0", "itemInfoEntries": dict(sorted(entries.items())), "rootModelIdentifier": model}
    return json.dumps(content, indent=4) + "\n"


def annotate(path: Path, key: str, value: str) -> None:
    """Add a word to the metadata of the finished package at `path`; CheckFailed when it cannot be read."""
    spec = read_spec(path)
    spec.description.metadata.userDefined[key] = value
    Package(path).finish(spec)


def manifest_bytes() -> int:
    """Size of every manifest."""
    return len(_manifest(b""))


def read_spec(path: Path) -> Any:
    """Return the specification of the package at `path`; CheckFailed when package or specification is corrupt."""
    from targets.coreml.toolkit import proto

    try:
        manifest = json.loads((path / "Manifest.json").read_text())
        entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
        file = path / "Data" / str(entry["path"])
        if Path(str(entry["path"])) != MODEL:
            raise CheckFailed(f"{path.name}: Manifest.json names {entry['path']!r} as the model, not {MODEL}")
        spec = proto().Model_pb2.Model.FromString(file.read_bytes())
    except CheckFailed:
        raise
    except Exception as error:
        raise CheckFailed(f"{path.name} is not a readable .mlpackage: {type(error).__name__}: {error}") from error
    if spec.WhichOneof("Type") != "mlProgram" or "main" not in spec.mlProgram.functions:
        raise CheckFailed(f"{path.name}: the specification holds no ML program with a main function")
    return spec


def weights_file(path: Path) -> Path:
    """Return the weights file of the package at `path`."""
    return path / "Data" / WEIGHTS / "weight.bin"
