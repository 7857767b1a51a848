"""The report that a person reads: bundles as one HTML page, as Markdown or on the terminal, all with the same numbers."""

from sdk.report.build import build_report, points_of
from sdk.report.charts import drawing_toolkit
from sdk.report.data import Point, Report, TimedPoint
from sdk.report.html import html
from sdk.report.markdown import markdown
from sdk.report.pareto import pareto_csv, pareto_svg, timed_csv, timed_svg
from sdk.report.writing import GENERATOR, check_place

__all__ = [
    "GENERATOR", "Point", "Report", "TimedPoint", "build_report", "check_place", "drawing_toolkit", "html", "markdown",
    "pareto_csv", "pareto_svg", "points_of", "timed_csv", "timed_svg",
]  # fmt: skip
