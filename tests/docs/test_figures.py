"""A figure that a page quotes from a benchmark is the one that the benchmark wrote."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_how_it_works_quotes_the_planner_s_page() -> None:
    measured = (DOCS / "benchmarks" / "planner.md").read_text()
    said = (DOCS / "how-it-works.md").read_text()
    best = re.search(r"its loss is (\S+) of that of the best other method", measured)
    same = re.search(r"loses least at \d+ of \d+, and (\S+) \(worst", measured.partition("only the choice differs")[2])
    quoted = re.search(r"(\S+) of the best other method's loss in the median, (\S+) of it with the same schemes", said)
    assert best and same and quoted
    assert quoted.groups() == (best[1], same[1])
