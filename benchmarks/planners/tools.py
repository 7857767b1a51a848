"""What NVIDIA ModelOpt and NNCF themselves think of the examples' layers: run with them on the path, read by the benchmark.

    pip install --no-deps --target TOOLS nncf openvino-telemetry pydot tabulate nvidia-modelopt omegaconf pulp nvidia-ml-py antlr4-python3-runtime==4.9.3
    PYTHONPATH=TOOLS:. python -m benchmarks.planners.tools CASE …

ModelOpt gives its gradient score of every layer at every width (`auto_quantize`, integers per channel, weights only); NNCF the layers
that get 4 bits instead of 8 at ratios from 0 to 1 (`compress_weights`, data-aware, per channel). Neither tool touches what it does not
support, such as ModelOpt embeddings. Rows go into results/planner_tools.json.
"""  # noqa: E501

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.results_file import read, save

WIDTHS = (8, 6, 4, 3, 2)
RATIOS = tuple(i / 10 for i in range(11))
SAMPLES = 32


def modelopt_scores(case: Case) -> dict[str, dict[str, float]]:
    """Layer → bits → score, with the loss that each kind of output stands for: a class drawn from the model's own
    probabilities for logits, a random direction for embeddings, and one as long as the outputs' own squares ask for the rest."""
    import modelopt.torch.quantization as mtq
    import torch

    from sdk.sensitivity.losses import direction

    model = _plain(copy.deepcopy(case.loaded[0]))
    generator = torch.Generator().manual_seed(0)

    def loss(outputs: Any, _: Any) -> Any:
        if case.loss == "mse":
            return sum((y * pull).sum() for y, pull in zip(outputs, direction("mse", outputs, generator), strict=True))
        output = _first(outputs)
        rows = output.reshape(-1, output.shape[-1])
        if case.loss == "kl":
            drawn = torch.multinomial(rows.detach().softmax(1), 1, generator=generator).squeeze(1)
            return torch.nn.functional.cross_entropy(rows, drawn)
        return (rows * torch.randn(rows.shape, generator=generator)).sum()

    formats = [
        {
            "quant_cfg": [
                {"quantizer_name": "*weight_quantizer", "cfg": {"num_bits": bits, "axis": 0}},
                {"quantizer_name": "*input_quantizer", "enable": False},
            ],
            "algorithm": "max",
        }
        for bits in WIDTHS
    ]
    data = case.calibration[:SAMPLES]
    _, state = mtq.auto_quantize(
        model, constraints={"effective_bits": 6.0}, quantization_formats=formats, data_loader=data,
        forward_step=lambda module, batch: module(*batch), loss_func=loss, num_calib_steps=4, num_score_steps=len(data),
    )  # fmt: skip
    found: dict[str, dict[str, float]] = {}
    for stats in state["candidate_stats"].values():
        for name in stats["module_names"]:
            found[name] = {}
            for recipe, score in zip(stats["formats"], stats["scores"], strict=True):
                if recipe.num_bits in WIDTHS:
                    found[name][str(recipe.num_bits)] = float(score) / len(stats["module_names"])
    return found


def _plain(model: Any) -> Any:
    """The model with padding convolutions of a class of their own as torch's, and cells as the two linears that they are:
    the tools know a layer by its very class."""
    from torch import nn

    for name, module in list(model.named_modules()):
        if isinstance(module, nn.LSTMCell):
            _put(model, name, _cell(module))
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and hasattr(module, "static_padding"):
            module.__class__ = nn.Conv2d
            module.register_forward_pre_hook(lambda layer, inputs: (layer.static_padding(inputs[0]),))
    return model


def _put(model: Any, name: str, part: Any) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, part)


def _cell(cell: Any) -> Any:
    """An LSTM cell as two linears, under the names that the SDK has for them."""
    import torch
    from torch import nn

    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight_ih = nn.Linear(cell.input_size, 4 * cell.hidden_size)
            self.weight_hh = nn.Linear(cell.hidden_size, 4 * cell.hidden_size)
            for linear, side in ((self.weight_ih, "ih"), (self.weight_hh, "hh")):
                linear.weight = getattr(cell, f"weight_{side}")
                linear.bias = getattr(cell, f"bias_{side}")

        def forward(self, x: Any, state: Any) -> Any:
            i, f, g, o = (self.weight_ih(x) + self.weight_hh(state[0])).chunk(4, -1)
            memory = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
            return o.sigmoid() * torch.tanh(memory), memory

    return Cell()


def nncf_assignments(case: Case) -> list[dict[str, int]]:
    """Layer → 4 or 8 bits, for each of RATIOS."""
    import nncf

    data = case.calibration[:SAMPLES]
    found = []
    for ratio in RATIOS:
        made = nncf.compress_weights(
            _inside(case), mode=nncf.CompressWeightsMode.INT4_SYM, ratio=ratio, group_size=-1, all_layers=True,
            dataset=nncf.Dataset(data, lambda sample: sample if len(sample) > 1 else sample[0]), subset_size=len(data),
            backup_mode=nncf.BackupMode.INT8_SYM,
            sensitivity_metric=nncf.SensitivityMetric.HESSIAN_INPUT_ACTIVATION,
        )  # fmt: skip
        found.append(dict(_widths(made)))
    return found


def _inside(case: Case) -> Any:
    """A copy of the model as a part of another: NNCF keeps its hooks in the outermost module, among whose parts they are."""
    from torch import nn

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = _plain(copy.deepcopy(case.loaded[0]))

        def forward(self, *inputs: Any) -> Any:
            return self.inner(*inputs)

    return Outer().eval()


def _widths(model: Any) -> Iterator[tuple[str, int]]:
    """(layer, bits) of every weight that NNCF compressed."""
    for name, module in model.named_modules():
        kind = type(module).__name__
        if "WeightsDecompressor" in kind:
            yield _owner(name), 4 if "INT4" in kind else 8


def _owner(hook: str) -> str:
    """The layer whose weight a hook stands for: `__nncf_hooks.post_hooks.inner:1:0:weight__0.0` is that of `1.0`."""
    weight = next(each for each in hook.split(".") if ":weight__" in each)
    return ".".join(weight.split(":")[1:-1])


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple | list) else output


def main(names: Iterable[str]) -> None:
    """Ask both tools about these examples, or all."""
    warnings.filterwarnings("ignore")
    for name in names or CASES:
        rows = {row["case"]: row for row in read("planner_tools")["rows"]}
        rows[name] = {"case": name, "modelopt": modelopt_scores(CASES[name]), "nncf": nncf_assignments(CASES[name])}
        save("planner_tools", [rows[each] for each in CASES if each in rows])


if __name__ == "__main__":
    main(sys.argv[1:])
