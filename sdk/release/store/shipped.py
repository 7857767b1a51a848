"""What of a bundle an app ships: the artifact as it is, and the manifest that says what it must be."""

from __future__ import annotations

import shutil
from pathlib import Path

from sdk.bundles import MANIFEST, Bundle, contents


def shipped_files(bundle: Bundle) -> dict[str, Path]:
    """Return the files that ship by their path beside each other: those of the artifact, and the manifest."""
    artifact = bundle.artifact
    if artifact.is_dir():
        found = {f"{artifact.name}/{name}": path for name, path in contents(artifact).items()}
    else:
        found = {artifact.name: artifact}
    return {MANIFEST: bundle.path / MANIFEST, **found}


def copy_files(files: dict[str, Path], folder: Path) -> None:
    """Copy `files` into `folder` under their names."""
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
