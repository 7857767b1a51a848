"""Transfer to phones that nobody probed, against published latencies on their CPUs: `python -m benchmarks.published.phones`.

The kernels come from the targets' reference machine; every device is predicted from its cores alone.
"""

from __future__ import annotations

import statistics
import warnings
from dataclasses import dataclass
from typing import Any

from benchmarks.results_file import intro, read, save, table, write_page

NAME = "phones"
XNNPACK = "github.com/google/XNNPACK README.md (2020)"
LITE = "github.com/tensorflow/tpu models/official/efficientnet/lite/README.md"


@dataclass(frozen=True)
class Published:
    """One published latency in ms: device, its fastest cores (core, MHz), threads, model, plan."""

    device: str
    cores: tuple[tuple[str, int], ...]
    threads: int
    model: str
    plan: str
    milliseconds: float
    source: str


PIXEL2 = (("Cortex-A73", 2350),) * 4
PIXEL3A = (("Cortex-A75", 2000),) * 2
PIXEL4 = (("Cortex-A76", 2840), *(("Cortex-A76", 2420),) * 3)
PI3, PI4 = (("Cortex-A53", 1400),) * 4, (("Cortex-A72", 1500),) * 4
ROWS = (
    *(Published(name, cores, threads, model, "float", ms, XNNPACK) for name, cores, threads, model, ms in (
        ("Pixel 2", PIXEL2, 1, "mobilenet-v1", 86), ("Pixel 2", PIXEL2, 1, "mobilenet-v2", 53),
        ("Pixel 2", PIXEL2, 4, "mobilenet-v1", 27), ("Pixel 2", PIXEL2, 4, "mobilenet-v2", 18),
        ("Pixel 3a", PIXEL3A, 1, "mobilenet-v1", 88), ("Pixel 3a", PIXEL3A, 1, "mobilenet-v2", 55),
        ("Pixel 3a", PIXEL3A, 2, "mobilenet-v1", 46), ("Pixel 3a", PIXEL3A, 2, "mobilenet-v2", 28),
        ("Raspberry Pi 3+", PI3, 4, "mobilenet-v1", 115), ("Raspberry Pi 3+", PI3, 4, "mobilenet-v2", 79),
        ("Raspberry Pi 4", PI4, 4, "mobilenet-v1", 75), ("Raspberry Pi 4", PI4, 4, "mobilenet-v2", 44),
    )),
    Published("Pixel 4", PIXEL4, 4, "efficientnet-lite0", "float", 12, LITE),
    Published("Pixel 4", PIXEL4, 4, "efficientnet-lite0", "int8", 6.5, LITE),
)  # fmt: skip


def models() -> dict[str, Any]:
    """Name → the model at its published size, with random weights where only shapes count."""
    from transformers import MobileNetV1Config, MobileNetV1ForImageClassification

    from benchmarks.costs.models import MODELS, First, image, load
    from sdk.models.load import load_model

    assert "mobilenet-v2" in MODELS
    first = First(MobileNetV1ForImageClassification(MobileNetV1Config(image_size=224, num_labels=1000)), "logits")
    return {
        "mobilenet-v1": load_model(first, image(), name="mobilenet-v1"),
        **{name: load(name) for name in ("mobilenet-v2", "efficientnet-lite0")},
    }


def main() -> None:
    from sdk.costs import LatencyModel
    from sdk.costs.transfer import Peak, core_peak, transferred
    from targets.tflite.target import TfliteTarget

    warnings.filterwarnings("ignore")
    reference = TfliteTarget().kernels()
    assert reference is not None
    machine, built, rows = core_peak(reference.core, reference.mhz, reference.threads), models(), []
    for row in ROWS:
        cores = [core_peak(core, mhz, 1) for core, mhz in row.cores[: row.threads]]
        peak = Peak(sum(core.fp32 for core in cores), sum(core.int8 for core in cores))
        model = built[row.model]
        scheme = "int8_channel_static" if row.plan == "int8" else "fp32"
        plan = {layer.name: scheme for layer in model.inventory.layers}
        value = LatencyModel(model, transferred(reference.kernels, machine, peak)).median(plan)
        rows.append({
            "device": row.device, "threads": row.threads, "model": row.model, "plan": row.plan, "published_ms": row.milliseconds,
            "predicted_ms": value, "ratio": row.milliseconds / value, "source": row.source,
        })  # fmt: skip
    ratios = sorted(row["ratio"] for row in rows)
    save(NAME, rows, median_ratio=statistics.median(ratios), least=ratios[0], most=ratios[-1])
    page()


def page() -> None:
    """Write docs/benchmarks/phones.md."""
    document = read(NAME)
    columns = {
        "device": "device", "threads": "threads", "model": "model", "plan": "plan", "published_ms": "published ms",
        "predicted_ms": "predicted ms", "ratio": "published / predicted", "source": "source",
    }  # fmt: skip
    said = f"median {document['median_ratio']:.2f}, least {document['least']:.2f}, most {document['most']:.2f}"
    write_page(
        NAME, "CPUs of phones that nobody probed, predicted and published", intro("benchmarks.published.phones", document),
        f"Published over predicted latency: {said}.", table(document["rows"], columns),
    )  # fmt: skip


if __name__ == "__main__":
    main()
