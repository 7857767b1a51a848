"""A result as JUnit XML, which build servers show: one test case per budget."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from sdk.check.result import BudgetEntry, CheckResult


def junit_text(result: CheckResult) -> str:
    """Return the XML: failed budgets are failures, unjudged ones are skipped (failures where a flag asked for them)."""
    cases = "".join(_case(budget, result) for budget in result.budgets)
    failures = sum(_failed(budget) for budget in result.budgets)
    skipped = sum(budget.verdict == "unjudged" and not _failed(budget) for budget in result.budgets)
    name = quoteattr(f"sdk check {result.bundle.model} on {result.device.id}")
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<testsuite name={name} tests="{len(result.budgets)}" failures="{failures}" skipped="{skipped}">\n{cases}</testsuite>\n'
    )


def _case(budget: BudgetEntry, result: CheckResult) -> str:
    head = f"  <testcase classname={quoteattr(f'{result.bundle.model}.{result.target}')} name={quoteattr(budget.name)}"
    if budget.verdict == "passed":
        return f"{head}/>\n"
    said = f"measured {_short(budget.measured.value)} ({budget.measured.origin}), limit {_short(budget.limit)} {budget.unit}"
    message = quoteattr(f"{said}{': ' if budget.why else ''}{budget.why}")
    return f"{head}><{'failure' if _failed(budget) else 'skipped'} message={message}/></testcase>\n"


def _short(value: float | None) -> str:
    """Whole numbers (bytes) in full, others to six digits."""
    return "nothing" if value is None else f"{value:,.0f}" if float(value).is_integer() else f"{value:.6g}"


def _failed(budget: BudgetEntry) -> bool:
    return budget.verdict == "failed" or (budget.verdict == "unjudged" and budget.asked == "flag")
