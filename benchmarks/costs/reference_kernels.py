"""Takes the kernels of a probed machine as a target's reference: `python -m benchmarks.costs.reference_kernels PROFILE.yaml`.

They are what devices that nobody probed are predicted from, by the arithmetic of their cores; so the machine's core has to be in
sdk/costs/cores.yaml, and its clock while all threads compute has to be said.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from benchmarks.cases import ROOT
from sdk.costs.transfer import THREADS, core_peak
from sdk.devices import find_device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", type=Path)
    parser.add_argument("--core", required=True, help="as sdk/costs/cores.yaml calls it")
    parser.add_argument("--mhz", type=int, required=True)
    given = parser.parse_args()
    core_peak(given.core, given.mhz, THREADS)
    for name, kernels in find_device(given.profile).kernels.items():
        data = kernels.model_dump(mode="json")
        rows = data.pop("rows")
        machine = {"core": given.core, "mhz": given.mhz, "threads": THREADS}
        head = yaml.safe_dump({"machine": machine, **data}, sort_keys=False, width=130)
        lines = (yaml.safe_dump(row, default_flow_style=True, sort_keys=False, width=200) for row in rows)
        (ROOT / "targets" / name / "kernels.yaml").write_text(head + "rows:\n" + "".join(f"- {line}" for line in lines))


if __name__ == "__main__":
    main()
