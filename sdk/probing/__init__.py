"""Probes devices: what they say of themselves, and how long their kernels take."""

from sdk.probing.probing import ProbeRequest, probe_device

__all__ = ["ProbeRequest", "probe_device"]
