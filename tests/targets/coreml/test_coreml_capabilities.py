"""The table of capabilities: complete, of the known vocabulary, and as a fresh measurement of some rows finds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sdk.lowering import Target
from sdk.schemes import all_schemes
from targets.coreml import TARGET
from targets.coreml.layout import least_ios


def test_it_follows_the_protocol_and_says_what_is_installed() -> None:
    assert isinstance(TARGET, Target)
    assert TARGET.toolchain().missing == ()


def test_importing_the_target_loads_no_toolchain() -> None:
    code = "import sys, targets.coreml as t; t.TARGET.capabilities(); t.TARGET.toolchain()\n" \
           "print([m for m in ('torch', 'coremltools', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_scheme_is_judged_for_every_kind() -> None:
    kinds = {k for row in TARGET.capabilities() for k in row.kinds}
    judged = {(k, row.scheme) for row in TARGET.capabilities() for k in row.kinds}
    assert judged == {(k, s) for k in kinds for s in all_schemes()}
    for row in TARGET.capabilities():
        assert row.supported or row.reason
        assert not row.supported or row.min_os == least_ios(all_schemes()[row.scheme])


@pytest.mark.parametrize("kind", [pytest.param("conv2d", marks=pytest.mark.slow), "embedding"])
def test_measured_rows_hold(kind: str, tmp_path: Path) -> None:
    from targets.coreml.probe import WORST, measure, models

    model = dict(models())[kind]
    for row in TARGET.capabilities():
        if kind in row.kinds and row.supported and row.min_os is not None:
            error = measure(TARGET, model, all_schemes()[row.scheme], int(row.min_os), tmp_path)
            assert isinstance(error, float) and error <= WORST, (row.scheme, error)


@pytest.mark.slow
def test_the_whole_table_is_what_the_probe_measures() -> None:
    from targets.coreml.probe import rows

    table = {(k, row.scheme): (row.supported, row.min_os) for row in TARGET.capabilities() for k in row.kinds}
    fresh = {(k, row["scheme"]): (row["supported"], row.get("min_os")) for row in rows() for k in row["kinds"]}
    assert table == fresh
