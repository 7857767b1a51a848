"""The cover's laws: as cheap as brute force, never worse with more variants, blind to the order of rows."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.release.fleet.cover import cheaper, cover, covers

digits = st.builds(lambda digit, power: digit * 10.0**power, st.integers(1, 99), st.integers(-9, 0))
prices = st.one_of(st.just(0.0), st.floats(1e-9, 1e3), digits)
tables = st.integers(1, 6).flatmap(
    lambda columns: st.lists(
        st.dictionaries(st.integers(0, columns - 1), prices, min_size=1), min_size=1, max_size=6,
    )
)  # fmt: skip


def brute_force(table, most):
    """The least price over all subsets of at most `most` candidates, or None."""
    columns = sorted({candidate for row in table for candidate in row})
    found = []
    for count in range(1, most + 1):
        for chosen in itertools.combinations(columns, count):
            if all(set(row) & set(chosen) for row in table):
                found.append(math.fsum(min(row[c] for c in chosen if c in row) for row in table))
    return min(found, default=None)


@settings(max_examples=150, deadline=None)
@given(tables, st.integers(1, 6))
def test_a_cover_costs_what_brute_force_finds(table, most):
    found, best = cover(table, most), brute_force(table, most)
    assert (found is None) == (best is None)
    if found is not None:
        largest = max(max(row.values()) for row in table)
        assert found.price == pytest.approx(best, rel=1e-9, abs=1e-8 * largest)
        assert len(found.chosen) <= most
        assert found.price == pytest.approx(math.fsum(row[pick] for row, pick in zip(table, found.picks, strict=True)))


@settings(max_examples=50, deadline=None)
@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(table, random):
    found = cover(table, 2)
    order = random.sample(range(len(table)), len(table))
    shuffled = cover([table[row] for row in order], 2)
    assert (found is None) == (shuffled is None)
    if found is not None:
        assert shuffled.price == pytest.approx(found.price, rel=1e-9, abs=1e-8 * max(max(row.values()) for row in table))


@settings(max_examples=50, deadline=None)
@given(tables)
def test_each_further_variant_helps_until_none_does(table):
    found = list(covers(table))
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    costs = [each.price for _, each in found if each is not None]
    assert all(not cheaper(before, after) for before, after in itertools.pairwise(costs))
    everything = math.fsum(min(row.values()) for row in table)
    assert costs[-1] == pytest.approx(everything, rel=1e-9, abs=1e-8 * max(max(row.values()) for row in table))


def test_a_row_that_nothing_fits_has_no_cover():
    assert cover([{0: 1.0}, {}], 2) is None


def test_equal_candidates_give_the_first():
    assert cover([{0: 1.0, 1: 1.0}, {0: 2.0, 1: 2.0}], 1).picks == (0, 0)
