"""Sizes: decimal and binary units, whole bytes, and what to write where two readings exist."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.errors import BadInput
from sdk.units import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("12MB", 12_000_000),
        ("12MiB", 12 * 2**20),
        ("12_000_000", 12_000_000),
        (12_000_000, 12_000_000),
        ("12 MB", 12_000_000),
        (" 1.5MiB ", 1_572_864),
        ("1GB", 10**9),
        ("1GiB", 2**30),
        ("3kB", 3000),
        ("3KB", 3000),
        ("3KiB", 3072),
        ("512B", 512),
        ("1B", 1),
        (1024, 1024),
        ("1024", 1024),
        (5e6, 5_000_000),
        ("1_500kB", 1_500_000),
        ("0.001kB", 1),
        ("2TB", 2 * 10**12),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("12", "write 12MB, 12MiB or 12B"),
        (12, "write 12MB"),
        ("12M", "write 12MB (decimal) or 12MiB (binary)"),
        ("12 m", "write 12MB"),
        ("12Mb", "write 12MB"),
        ("12mb", "write 12MB"),
        ("12Mib", "write 12MB"),
        ("5g", "write 5GB"),
        ("12 MegaBytes", "unknown unit"),
        ("12,5MB", "cannot be read"),
        ("12,000,000", "cannot be read"),
        ("-12MB", "cannot be read"),
        (-5, "not above zero"),
        (0, "not above zero"),
        ("0MB", "not above zero"),
        ("nan", "cannot be read"),
        ("inf", "cannot be read"),
        (float("nan"), "not a whole number"),
        (float("inf"), "not a whole number"),
        (1e6 + 0.5, "not a whole number"),
        ("1e6", "cannot be read"),
        ("", "cannot be read"),
        ("MB", "cannot be read"),
        ("1.0001kB", "not a whole number of bytes: write 1000B"),
        ("0.5B", "not a whole number of bytes: write 1B or more, such as 12MB"),
        ("0.0001kB", "write 1B or more"),
        (0.5, "not a whole number of bytes: write one such as"),
        ("12__0MB", "cannot be read"),
        (True, "not a number"),
        (None, "not a number"),
        ("１２MB", "cannot be read"),
        ("99999999TB", "more than any file"),
        ("1 2MB", "cannot be read"),
        ("12MB/s", "cannot be read"),
        ("+12MB", "cannot be read"),
        ("0x10MB", "cannot be read"),
        ("12\nMB", "cannot be read"),
        ("1" + "0" * 400, "more than any file"),
    ],
)
def test_ambiguous_and_impossible_sizes_say_what_to_write(text, mend):
    with pytest.raises(BadInput) as caught:
        parse_size(text)
    assert mend in str(caught.value) and "\n" not in str(caught.value)


@given(st.integers(1024, 2**63 - 1))
def test_whole_bytes_are_kept(size):
    assert (
        parse_size(size) == parse_size(str(size)) == parse_size(f"{size:_}") == parse_size(f"{size}B") == size
    )


@given(st.integers(0, 2**62))
def test_what_is_shown_reads_back_within_a_percent(size):
    shown = format_size(size)
    if size:
        assert abs(parse_size(shown) - size) <= 0.005 * size
    assert format_size(-size) == (f"-{shown}" if size else shown)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (4_954_321, "4.95 MB"),
        (13_100_000, "13.1 MB"),
        (999_600, "1.00 MB"),
        (999_999_999, "1.00 GB"),
        (131_400_000, "131 MB"),
        (-2_500, "-2.50 kB"),
    ],
)
def test_shown(size, shown):
    assert format_size(size) == shown


@given(st.text(max_size=30))
def test_any_text_is_a_size_or_a_refusal(text):
    try:
        assert parse_size(text) > 0
    except BadInput as error:
        assert "\n" not in str(error)
