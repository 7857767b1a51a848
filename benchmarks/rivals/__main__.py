"""Measure the rivals alone: `python -m benchmarks.rivals`."""

from __future__ import annotations

import argparse

from benchmarks.cases import CASES
from benchmarks.rivals import RIVALS, jobs, page, run


def main() -> None:
    """Measure what the arguments select, keep earlier rows of the rest, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", choices=CASES, help="only this model (repeatable)")
    parser.add_argument("--rival", action="append", choices=RIVALS, help="only this tool (repeatable)")
    parser.add_argument("--recipe", action="append", help="only this recipe (repeatable)")
    parser.add_argument("--timeout", type=float, default=900, help="seconds that one recipe may take")
    parser.add_argument("--table", action="store_true", help="only rewrite the page from the results")
    options = parser.parse_args()
    if not options.table:
        run(jobs(options.case or CASES, options.rival or list(RIVALS), options.recipe), options.timeout)
    page()


if __name__ == "__main__":
    main()
