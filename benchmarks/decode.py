"""How fast language models write, in one run: `python -m benchmarks.decode MODEL.gguf --bundles DIR … --llama FOLDER`.

Each writes TOKENS tokens behind the same prompt, ROUNDS times in turns, each time in a process of its own; medians count. What
is compared is this machine's: a ratio to transformers in float32.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.isolated import measure, work
from benchmarks.language import PROMPT
from benchmarks.llama import FORMATS
from benchmarks.results_file import intro, read, save, table, write_page

TOKENS, ROUNDS = 64, 3
COLUMNS = {
    "what": "what", "bytes": "bytes", "speed": "tokens/s, median", "worst": "slowest round", "ratio": "times transformers",
    "error": "failure",
}  # fmt: skip


def main() -> None:
    """Measure all in turns and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--bundles", nargs="*", default=[])
    parser.add_argument("--llama", help="folder of llama.cpp's files")
    options = parser.parse_args()
    jobs: list[dict[str, Any]] = [{"what": "transformers, float32", "model": options.model}]
    jobs += [{"what": f"bundle {Path(path).name}", "bundle": path} for path in options.bundles]
    if options.llama:
        files = [Path(options.llama) / f"{Path(options.model).stem}-{name}.gguf" for name in FORMATS]
        jobs += [{"what": f"llama.cpp {path.stem}", "file": str(path)} for path in files if path.exists()]
    found: dict[str, list[dict[str, Any]]] = {job["what"]: [] for job in jobs}
    for _ in range(ROUNDS):
        for job in jobs:
            row = measure("benchmarks.decode", job, 600)
            print(row["what"], row.get("speed"), row.get("error", ""), flush=True)
            found[job["what"]].append(row)
    rows = [_summed(what, each) for what, each in found.items()]
    floats = rows[0].get("speed")
    save("decode", [{**row, "ratio": row["speed"] / floats} if floats and "speed" in row else row for row in rows])
    page()


def _summed(what: str, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    speeds = [row["speed"] for row in rounds if "speed" in row]
    if not speeds:
        return {"what": what, "error": rounds[0].get("error")}
    return {"what": what, "bytes": rounds[0]["bytes"], "speed": median(speeds), "worst": min(speeds)}


def one(what: str, model: str = "", bundle: str = "", file: str = "") -> dict[str, Any]:
    """Write once."""
    warnings.filterwarnings("ignore")
    if bundle:
        import os

        import sdk
        from sdk.generate import generate
        from sdk.lowering.discovery import find_target

        opened = sdk.open_bundle(bundle)
        os.environ.update(getattr(find_target(opened.manifest.target), "alone", {}))
        return {"what": what, "bytes": opened.manifest.artifact.bytes, "speed": generate(opened, PROMPT, TOKENS).decode_speed}
    if file:
        from benchmarks import llama

        return {"what": what, "bytes": Path(file).stat().st_size, "speed": llama.speed(Path(file), PROMPT, TOKENS)}
    return {"what": what, **_float(Path(model))}


def _float(path: Path) -> dict[str, Any]:
    import torch
    import transformers

    words = {"gguf_file": path.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(path.parent), **words)
    causal = transformers.AutoModelForCausalLM.from_pretrained(str(path.parent), dtype=torch.float32, **words)
    ids = torch.tensor([tokenizer(PROMPT)["input_ids"]])
    times = []
    for count in (1, TOKENS + 1):
        began = time.perf_counter()
        causal.generate(ids, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0)
        times.append(time.perf_counter() - began)
    return {"bytes": sum(p.numel() * 4 for p in causal.parameters()), "speed": TOKENS / (times[1] - times[0])}


def page() -> None:
    """Write the page from the kept rows."""
    document = read("decode")
    write_page(
        "decode", "How fast language models write", intro("benchmarks.decode", document),
        f"{TOKENS} tokens behind one prompt, {ROUNDS} rounds in turns, every one in a process of its own, all cores.",
        table(document["rows"], COLUMNS),
    )


if __name__ == "__main__":
    import sys

    if len(sys.argv) == 3 and sys.argv[1].startswith("{"):
        work(one)
    else:
        main()
