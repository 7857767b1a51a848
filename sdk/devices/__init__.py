"""Device profiles: what is known of a phone, board or this machine, and where it was found."""

from sdk.devices.kernels import Kernel, Kernels
from sdk.devices.lookup import find_device, list_devices, validate_file
from sdk.devices.profile import (
    Accelerator,
    Budgets,
    Cluster,
    DeviceProfile,
    Fact,
    OperatingSystem,
    Soc,
    family,
)

__all__ = [
    "Accelerator", "Budgets", "Cluster", "DeviceProfile", "Fact", "Kernel", "Kernels", "OperatingSystem", "Soc", "family",
    "find_device", "list_devices", "validate_file",
]  # fmt: skip
