"""The rule on the phone: `selector.json`, its reference selectors in Python, Kotlin and Swift, and their test vectors."""

from sdk.release.selector.document import SELECTOR, Need, Requires, Rule, SelectorDocument, VariantRule
from sdk.release.selector.files import selector_files, write_selector
from sdk.release.selector.rules import Offer, Phone, make_selector
from sdk.release.selector.select import Facts, Selection, select
from sdk.release.selector.vectors import vectors

__all__ = [
    "SELECTOR", "Facts", "Need", "Offer", "Phone", "Requires", "Rule", "Selection", "SelectorDocument", "VariantRule",
    "make_selector", "select", "selector_files", "vectors", "write_selector",
]  # fmt: skip
