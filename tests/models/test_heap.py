"""Free memory goes back."""

from __future__ import annotations

import torch

from sdk.heap import give_back


def test_freed_tensors_leave_the_process() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    last = torch.ones(1)
    several = [torch.ones(20_000) for _ in range(2000)]  # each below what the C library asks the system for by itself
    last = torch.ones(1) + last
    full = resident()
    several.clear()
    give_back()
    assert resident() < full - 100_000_000 and float(last) == 2
