"""The charts of a report: static SVG in the colours of the page, each at a desktop's and at a phone's width."""

from sdk.report.charts.drawing import Drawing, drawing_toolkit, standalone
from sdk.report.charts.front import LATENCY, SIZE, front_chart
from sdk.report.charts.latency import latency_chart
from sdk.report.charts.layers import layers_chart
from sdk.report.charts.ratios import parity_chart, ratio_chart
from sdk.report.charts.treemap import treemap_chart

__all__ = [
    "LATENCY", "SIZE", "Drawing", "drawing_toolkit", "front_chart", "latency_chart", "layers_chart", "parity_chart",
    "ratio_chart", "standalone", "treemap_chart",
]  # fmt: skip
