"""A target of another distribution: the null target's runtime with its own name, file and table."""

from targets.null.target import NullTarget


class BitboxTarget(NullTarget):
    name = "bitbox"
    artifact = "model.bitbox"

    def capabilities(self):
        return [row for row in super().capabilities() if row.scheme in ("fp32", "int8_channel")]


class AbsentTarget(NullTarget):
    """Its toolchain is not installed."""

    name = "absent"

    def toolchain(self):
        from sdk.lowering.types import Toolchain

        return Toolchain({"bitbox-compiler": None}, "pip install bitbox-compiler")


TARGET = BitboxTarget()
ABSENT = AbsentTarget()
