"""Training's quick products leave no trace."""

from __future__ import annotations

import pytest
import torch

from sdk.recovery.precision import quick_products


def test_the_precision_is_what_it_was_even_after_a_failure() -> None:
    matmul, conv = torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv
    before = matmul.fp32_precision, conv.fp32_precision
    with pytest.raises(RuntimeError), quick_products():
        assert (matmul.fp32_precision, conv.fp32_precision) == ("bf16", "bf16")
        raise RuntimeError
    assert (matmul.fp32_precision, conv.fp32_precision) == before
