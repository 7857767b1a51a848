"""The folder that a Core ML delegate flattens into its payload: unpacked, and settled so that its bytes are always the same."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sdk.errors import CheckFailed

PACKAGE = "model.mlpackage"
MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


class Settled:
    """Stands for ExecuTorch's own flattening and settles the folder first."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def flatten_directory_contents(self, path: str) -> Any:
        """Flatten the folder at `path`, its dates and random identifiers replaced."""
        settle(Path(path))
        return self._original.flatten_directory_contents(path)


def settle(folder: Path) -> None:
    """Drop the conversion's date, order the maps of the specification, and name everything by its content."""
    from coremltools.proto import Model_pb2

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


@contextmanager
def unpacked(payload: bytes) -> Iterator[Path]:
    """Hold the folder of a payload in a temporary place; CheckFailed when it cannot be unpacked."""
    from executorch.backends.apple.coreml import executorchcoreml

    with TemporaryDirectory(prefix="sdk-coreml-") as place:
        try:
            done = executorchcoreml.unflatten_directory_contents(payload, place)
        except Exception as error:
            raise CheckFailed(f"a Core ML payload is damaged: {str(error)[:120]}") from error
        if not done or not (Path(place) / PACKAGE / MODEL).is_file():
            raise CheckFailed("a Core ML payload is damaged: it holds no package")
        yield Path(place)
