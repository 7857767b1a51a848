"""LiteRT: `.tflite` files for XNNPACK on the CPU."""

from targets.tflite.target import TfliteTarget

TARGET = TfliteTarget()
"""The target that discovery finds."""
