"""What a finished fleet says of itself: the schema of `fleet.json`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdk.bundles import Kind, ModelEntry, check_writable
from sdk.errors import BadInput, CheckFailed
from sdk.release.selector import SELECTOR

FLEET = "fleet.json"
FOLDER = Kind("fleet", (FLEET, SELECTOR))


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DeviceEntry(_Frozen):
    """One device: its share of the installs, the limits that hold for it (bytes, loss), and its variant's id."""

    name: str
    group: str
    share: float
    max_size: int | None
    max_loss: float | None
    variant: str


class VariantEntry(_Frozen):
    """One bundle of the fleet, in the folder called `id`.

    `bytes` of the artifact; losses predicted and measured; `sha256` of the artifact, `digest` of its manifest.
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    target: str
    min_os: float | None
    artifact: str
    bytes: int
    sha256: str
    digest: str
    predicted_bytes: int
    predicted_loss: float
    measured_loss: float
    measured_by: str
    share: float
    devices: tuple[str, ...]


class StepEntry(_Frozen):
    """What at most `variants` bundles cost, predicted: share-weighted loss and bytes, and their price in loss.

    None throughout where so few cannot serve every device. `total_bytes`: of all variants together.
    """

    variants: int
    loss: float | None = None
    bytes: float | None = None
    total_bytes: int | None = None
    price: float | None = None


class FleetManifest(_Frozen):
    """Everything that a fleet says of itself; `loss` names the loss, `loss_per_mb` the rate for 10^6 bytes of download.

    `selector` are the sha256 of `selector.json` and of the files in `selector/`, by path.
    """

    schema_version: Literal[2] = 2
    model: ModelEntry
    loss: str
    loss_per_mb: float
    max_variants: int
    variants: tuple[VariantEntry, ...]
    devices: tuple[DeviceEntry, ...]
    steps: tuple[StepEntry, ...]
    selector: dict[str, str]
    command: str
    digest: str = ""


def dump(fleet: FleetManifest) -> str:
    """Return the JSON text with `digest` set to the sha256 of everything else: sorted keys, the same bytes every time."""
    sealed = fleet.model_copy(update={"digest": _digest(fleet)})
    return json.dumps(_plain(sealed), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def check_place(out: Path) -> None:
    """Raise BadInput when a fleet cannot be written at `out`."""
    check_writable(out, FOLDER)


def is_fleet(path: Path) -> bool:
    """Whether there is a fleet in the folder `path`, altered or not."""
    return (path / FLEET).is_file()


def open_fleet(path: Path) -> FleetManifest:
    """Read the fleet in the folder `path`; BadInput when there is none, CheckFailed when `fleet.json` was changed."""
    file = path / FLEET
    if not is_fleet(path):
        raise BadInput(f"{path}: is not a fleet: it has no {FLEET}; name the folder that `sdk package --fleet` wrote")
    text = file.read_text("utf-8")
    try:
        fleet = FleetManifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckFailed(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}: package again") from None
    if dump(fleet) != text:
        raise CheckFailed(f"{file}: was edited after it was written (its digest differs); package again")
    return fleet


def _plain(fleet: FleetManifest) -> dict[str, Any]:
    plain: dict[str, Any] = fleet.model_dump(mode="json", by_alias=True)
    return plain


def _digest(fleet: FleetManifest) -> str:
    rest = {key: value for key, value in _plain(fleet).items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()
