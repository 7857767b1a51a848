"""Zero padding in static 8 bits: XNNPACK pads codes with their zero point, but its partitioner takes pads of floats alone."""

from __future__ import annotations

from typing import Any


def configs() -> list[Any]:
    """What XNNPACK's partitioner may take, with pads between codes of one scale and zero point."""
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
    from executorch.backends.xnnpack.partition.config.generic_node_configs import ConstantPadConfig
    from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType

    class Pads(ConstantPadConfig):  # type: ignore[misc]
        def supported_precision_types(self) -> list[Any]:
            return [ConfigPrecisionType.FP32, ConfigPrecisionType.STATIC_QUANT]

    return [Pads if each is ConstantPadConfig else each for each in ALL_PARTITIONER_CONFIGS]
