"""A loss of the user's own plans, is measured on the finished file and stands in the manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

import sdk

LOSSES = '''
def relative(reference, outputs):
    return (reference[0] - outputs[0]).square().sum() / reference[0].square().sum()


def quarter(reference, outputs):
    return relative(reference, outputs) / 4


def first(reference, outputs):
    return (reference[0] - outputs[0])[:, 0].square().mean()


def absolute(reference, outputs):
    return (reference[0] - outputs[0]).abs().mean()
'''


@pytest.mark.usefixtures("quiet", "app")
def test_a_function_is_a_loss_like_any_other() -> None:
    Path("losses.py").write_text(LOSSES, encoding="utf-8")
    words = {"device": "host", "target": "null", "calibration": "model.py:samples", "max_size": 12_000}
    known = sdk.package("model.py:net", loss="mse", out="known", **words).manifest
    own = sdk.package("model.py:net", loss="losses.py:relative", out="own", **words)
    assert own.manifest.loss.startswith("losses.py:relative@")
    assert own.manifest.predicted.loss.value == pytest.approx(known.predicted.loss.value, rel=0.3)
    assert own.manifest.measured.loss.value == pytest.approx(known.measured.loss.value, rel=0.6)
    quarter = sdk.package("model.py:net", loss="losses.py:quarter", out="quarter", **words).manifest
    assert quarter.measured.loss.value == pytest.approx(own.manifest.measured.loss.value / 4, rel=1e-3)
    assert sdk.open_bundle("own").manifest.loss == own.manifest.loss
    first, second = (sdk.plan("model.py:net", loss=f"losses.py:{name}", **words) for name in ("relative", "first"))
    assert first.predicted.loss != pytest.approx(second.predicted.loss, rel=0.05)
    with pytest.raises(sdk.errors.BadInput, match=r"absolute@\S* has no curvature"):
        sdk.plan("model.py:net", loss="losses.py:absolute", **words)
    with pytest.raises(sdk.errors.BadInput, match=r"has no 'none'; it has: relative, quarter, first, absolute"):
        sdk.plan("model.py:net", loss="losses.py:none", **words)
