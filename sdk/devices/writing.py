"""Writes a profile as the YAML that people read: facts in blocks, the rows of kernels one a line."""

from __future__ import annotations

from typing import Any

import yaml

from sdk.devices.profile import DeviceProfile


def profile_text(profile: DeviceProfile) -> str:
    """Return the YAML of `profile`; reading it gives the same profile."""
    data: dict[str, Any] = profile.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    kernels = data.pop("kernels", {})
    text = yaml.safe_dump({"schema": profile.schema_version, **data}, sort_keys=False, allow_unicode=True, width=120)
    return text + (_kernels(kernels) if kernels else "")


def _kernels(kernels: dict[str, Any]) -> str:
    lines = ["kernels:"]
    for target, found in kernels.items():
        rows = found.pop("rows")
        lines.append(f"  {_flow(target)}:")
        lines += [f"    {key}: {_flow(value)}" for key, value in found.items()]
        lines.append("    rows:")
        lines += [f"    - {_flow(row)}" for row in rows]
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).removesuffix("...\n").strip()
