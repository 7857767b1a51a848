"""One-word uniform presets as data: the widths to try in order, and the schemes of each width in order."""

from __future__ import annotations

SCHEMES_BY_BITS: dict[int, tuple[str, ...]] = {
    32: ("fp32",),
    16: ("fp16",),
    8: (
        "int8_channel_dynamic", "int8_channel", "int8_g32", "int8_channel_static", "lut8_scaled", "lut8",
    ),
    6: ("lut6_gc16", "lut6_scaled", "lut6"),
    4: (
        "int4_g32_dynamic", "int4_g64_dynamic", "int4_g128_dynamic", "int4_g256_dynamic",
        "int4_channel_dynamic", "int4_g32", "int4_g64", "int4_g128", "int4_channel", "int4_channel_static",
        "lut4_gc4", "lut4_gc16", "lut4_g32", "lut4_scaled", "lut4",
    ),
    3: ("lut3_gc4", "lut3_gc16", "lut3_scaled", "lut3"),
    2: (
        "int2_g32", "int2_channel_dynamic", "int2_channel", "lut2_gc4", "lut2_gc16", "lut2_g128", "lut2_scaled", "lut2",
    ),
    1: ("lut1_gc16", "lut1_g128", "lut1_scaled", "lut1"),
}  # fmt: skip
"""Width in bits → scheme names, the one that people expect of the word first."""

PRESETS: dict[str, tuple[int, ...]] = {
    "fp32": (32, 16),
    "fp16": (16, 32),
    "q8": (8, 16, 32),
    "q4": (4, 6, 8, 16, 32),
    "q4f16": (4, 16, 32),
    "q2": (2, 3, 4, 6, 8, 16, 32),
    "exact": (),
}
"""Preset → widths in bits; the first is what the word promises, the rest what a layer gets that cannot. Without widths the
weights decide."""

EXACT = "exact"
"""The preset that keeps each weight as it came: in the smallest scheme whose grid it lies on, else in floats."""
