"""The digest of an exported model sees all that decides what is made of it, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sdk.errors import BadInput
from sdk.models.load import export_model, finish_model

MODEL = """
    import collections, torch
    from torch import nn

    Out = collections.namedtuple("Out", ["scores", "boxes"])

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 2)

        def forward(self, x):
            return Out(self.a(x) * 2.0, self.b(x))

    def net():
        return Net().eval(), (torch.ones(1, 4),)

    def bare():
        return Net().eval()
"""
CHANGES = {
    "a constant in forward": ("* 2.0", "* 2.5"), "a weight": ("manual_seed(0)", "manual_seed(1)"),
    "names of outputs": ('["scores", "boxes"]', '["boxes", "scores"]'), "the name of an input": ("(self, x)", "(self, y)"),
    "the example": ("torch.ones(1, 4)", "torch.zeros(1, 4)"), "a shape": ("torch.ones(1, 4)", "torch.ones(2, 4)"),
    "the structure": ("return Out(self.a(x) * 2.0, self.b(x))", "return self.a(x) * 2.0, self.b(x)"),
}  # fmt: skip
RUN = "import sys; from sdk.models.load import export_model; print(export_model('model.py:net').digest)"


def digest(folder: Path, text: str) -> str:
    """The digest in a process of its own, as that of another sweep."""
    (folder / "model.py").write_text(textwrap.dedent(text))
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", RUN], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_every_change_is_seen_and_nothing_else(tmp_path: Path) -> None:
    first = digest(tmp_path, MODEL)
    assert digest(tmp_path, MODEL + "    # a remark\n") == first
    for what, (old, new) in CHANGES.items():
        changed = MODEL.replace(old, new)
        assert changed != MODEL
        assert digest(tmp_path, changed if what != "the name of an input" else changed.replace("a(x)", "a(y)").replace(
            "b(x)", "b(y)")) != first, what  # fmt: skip


def test_a_reference_without_inputs_goes_by_the_first_sample(tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "model.py").write_text(textwrap.dedent(MODEL))
    with pytest.raises(BadInput, match="came without example inputs"):
        export_model("model.py:bare", folder=tmp_path)
    for sample in ((np.ones((1, 4), np.float32),), {"x": np.ones((1, 4), np.float32)}):
        model = finish_model(export_model("model.py:bare", folder=tmp_path, samples=[sample]))
        assert [spec.name for spec in model.outputs] == ["scores", "boxes"]
        assert model.inputs[0].shape == (1, 4)
    own = finish_model(export_model("model.py:net", folder=tmp_path, samples=[(np.ones((5, 4), np.float32),)]))
    assert own.inputs[0].shape == (1, 4), "a factory's own example comes first"


def test_a_name_that_breaks_torch_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(textwrap.dedent("""
        import torch
        from torch import nn

        def net():
            inner = nn.Module()
            net = nn.Sequential()
            net.add_module('a"b`', nn.Linear(4, 4))
            return net.eval(), (torch.ones(1, 4),)
    """))
    with pytest.raises(BadInput, match="has a quote or a backslash in its name: rename it"):
        finish_model(export_model("model.py:net", folder=tmp_path))
