"""The schema of `selector.json`: what each variant requires, and the ordered rules that pick one."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict

SELECTOR = "selector.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Need(_Frozen):
    """What one operating system must have: the least version (dotted numbers) and RAM in bytes as an app sees it."""

    version: str | None = None
    ram: int | None = None


class Requires(_Frozen):
    """What a variant requires of any device: its runtime, one of the operating systems, one of the SoCs (None: any).

    SoCs are spelled in lower-case letters and digits alone.
    """

    runtime: str
    os: dict[str, Need]
    soc: tuple[str, ...] | None = None


class VariantRule(_Frozen):
    """One variant: its artifact's path in the fleet's folder, bytes and sha256, and what it requires."""

    id: str
    artifact: str
    bytes: int
    sha256: str
    requires: Requires


class Rule(_Frozen):
    """Devices with this `os`, one of these SoCs and RAM within [least, most] bytes may have `variant`.

    None: any. `device` names the device of the fleet that the rule is for; empty: for devices that are not in it.
    """

    variant: str
    device: str = ""
    os: str
    soc: tuple[str, ...] | None = None
    ram: tuple[int, int | None] | None = None


class SelectorDocument(_Frozen):
    """The first rule that matches a device, and whose variant's requirements it meets, picks its variant."""

    schema_version: Literal[1] = 1
    variants: tuple[VariantRule, ...]
    rules: tuple[Rule, ...]

    def text(self) -> str:
        """Return the JSON text: sorted keys, the same bytes every time."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
