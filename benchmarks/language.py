"""Quality, bytes and speed of language-model bundles, executed: `python -m benchmarks.language MODEL --keep FOLDER`.

MODEL is a Hugging Face directory or a GGUF. Every row is one bundle, packaged, opened and read on text that calibration did
not see (news documents of gensim's test data), against the float model; speed is that of writing 64 tokens here.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from benchmarks import litert_lm
from benchmarks.cases import DEVICES
from benchmarks.isolated import measure, work
from benchmarks.measures import divergence
from benchmarks.results_file import intro, read, save, table, write_page

WINDOWS = 12
"""Windows of held-out text."""

HELD_OUT = 150
"""Documents from which they are taken; bundles are calibrated with those behind."""

CONTEXT = 512
FLOAT = "transformers, float32"
ORDERS = ("keep", "litert", "llama", "max_size", "spoken", "uniform")
"""Keys of a job that say what to make: its row has them in `what`."""
ANSWER = 32
PROMPTS = (
    "What is the capital of France?", "Name three primary colours.", "Why is the sky blue?", "Write a haiku about rain.",
    "How do I boil an egg?", "Explain what a prime number is.", "Give me a synonym for happy.", "What does a lighthouse do?",
    "Tell me about the moon.", "How many days has a leap year?", "Translate 'good morning' into Spanish.",
    "What is photosynthesis?", "Suggest a name for a cat.", "Who wrote Hamlet?", "List two uses of salt.",
    "What is the boiling point of water?", "Describe a desert in one sentence.", "How does a bicycle stay upright?",
    "What comes after Tuesday?", "Give one tip for sleeping well.",
)  # fmt: skip
PROMPT = "Write a short story about a lighthouse keeper and a storm."
COLUMNS = {
    "model": "model", "target": "target", "what": "bundle", "bytes": "bytes", "predicted": "predicted bytes",
    "perplexity": "perplexity", "divergence": "KL per token", "agreement": "top-1 as float",
    "faithful": "top-1 as the same quantization in torch", "apart": "KL from it",
    "speed": "tokens/s", "cpu_seconds": "build, processor s", "build_seconds": "build, s", "error": "failure",
}  # fmt: skip


def main() -> None:
    """Measure each bundle in a process of its own and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--keep", required=True, help="folder for the bundles")
    parser.add_argument("--sizes", nargs="*", default=[], help="budgets of planned bundles")
    parser.add_argument("--uniform", nargs="*", default=[], help="presets to compare with")
    parser.add_argument("--target", default="executorch", help="what planned and uniform bundles are for")
    parser.add_argument("--llama", nargs="*", default=[], help="formats of llama.cpp to compare with, such as Q4_K_M")
    parser.add_argument("--litert", nargs="*", default=[], help="recipes of LiteRT to compare with, or `all`")
    parser.add_argument("--unspoken", action="store_true", help="leave out the comparison with torch on answers to prompts")
    parser.add_argument("--timeout", type=float, default=7200, help="seconds that one may take")
    options = parser.parse_args()
    keep, model = Path(options.keep), Path(options.model).name
    rows = {(row["model"], row.get("target"), row["what"]): row for row in read("language")["rows"]}
    wanted = [] if (model, None, FLOAT) in rows else [{"what": FLOAT}]
    wanted += [{"what": f"llama.cpp {name}", "llama": name} for name in options.llama]
    ours = {"target": options.target, "spoken": not options.unspoken}
    wanted += [{"what": f"uniform {name}", "uniform": name, **ours} for name in options.uniform]
    wanted += [{"what": f"planned for {size}", "max_size": size, **ours} for size in options.sizes]
    recipes = (*litert_lm.RECIPES, litert_lm.MIXED) if options.litert == ["all"] else options.litert
    wanted += [{"what": f"LiteRT {name}", "litert": name} for name in recipes]
    for want in wanted:
        job = {**want, "model": options.model, "keep": str(keep)}
        row = measure("benchmarks.language", job, options.timeout, keep / "cache")
        print(json.dumps(row), flush=True)
        kept = {key: value for key, value in row.items() if key not in ORDERS}
        rows[model, row.get("target"), row["what"]] = {**kept, "model": model}
        save("language", sorted(rows.values(), key=lambda row: (row["model"], row.get("bytes", 0))))
        page()


def one(
    what: str, model: str, keep: str, uniform: str | None = None, max_size: str | None = None, target: str = "",
    llama: str | None = None, litert: str | None = None, spoken: bool = True,
) -> dict[str, Any]:
    """Package (or reuse) and judge one bundle, one of llama.cpp's files, or the float model itself."""
    warnings.filterwarnings("ignore")
    if llama is not None:
        return _llama(Path(model), llama, Path(keep))
    if litert is not None:
        return {"target": "tflite", **_litert(Path(model), litert, Path(keep))}
    if uniform is None and max_size is None:
        return {"what": what, **_float(model)}
    import sdk
    from sdk.generate import generate

    out = Path(keep) / "-".join((Path(model).stem, target, *what.split()))
    began, fresh, wall = time.process_time(), not out.exists(), time.perf_counter()
    bundle = sdk.open_bundle(out) if not fresh else sdk.package(
        model, device=DEVICES[target], target=target, uniform=uniform, max_size=max_size, context=CONTEXT,
        calibration=_news()[HELD_OUT:], out=out,
    )
    seconds, wall = time.process_time() - began, time.perf_counter() - wall
    held, logits = _held(model)
    got = [bundle.run(tokens)[0] for tokens in held]
    written = generate(bundle, PROMPT, 64)
    manifest = bundle.manifest
    assert manifest.language is not None
    return {
        "what": what, "bytes": manifest.artifact.bytes, "predicted": manifest.predicted.artifact_bytes.value,
        **_judged(held, logits, got), **(_spoken(bundle, model, target) if spoken else {}), "speed": written.decode_speed,
        "cpu_seconds": seconds if fresh else None, "build_seconds": wall if fresh else None,
    }  # fmt: skip


def _spoken(bundle: Any, model: str, target: str) -> dict[str, float]:
    """How the bundle's answers to PROMPTS, ANSWER tokens each, compare with the torch model of the same quantization.

    Teacher-forced: both are given the prompt and the bundle's answer.
    """
    import torch

    from sdk.generate import encode, generate, load_tokenizer
    from sdk.pipeline.planning import plan_request
    from sdk.pipeline.request import Request
    from sdk.pipeline.together import quantized_by
    from sdk.progress import SilentReporter

    wanted = Request(
        model=model, device=DEVICES[target], target=target, context=CONTEXT, plan=bundle.path / "plan.yaml",
        calibration=_news()[HELD_OUT:],
    )
    planned = plan_request(wanted, SilentReporter())
    reference = planned.target.reference(quantized_by(planned.plan, planned.workbench, SilentReporter()))
    tokenizer, window = load_tokenizer(bundle), bundle.manifest.language.window
    same = apart = count = 0.0
    for prompt in PROMPTS:
        ids = encode(tokenizer, prompt, False)
        answer = generate(bundle, prompt, ANSWER).tokens
        tokens = torch.zeros(1, window, dtype=torch.int64)
        tokens[0, : len(ids) + len(answer)] = torch.tensor([*ids, *answer])
        rows = slice(len(ids) - 1, len(ids) + len(answer) - 1)
        got, want = (torch.as_tensor(run(tokens)[0])[0, rows] for run in (bundle.run, reference))
        same += float((got.argmax(-1) == want.argmax(-1)).sum())
        apart += float(divergence(want.double().numpy(), got.double().numpy()).sum())
        count += len(answer)
    return {"faithful": same / count, "apart": apart / count, "answered": count}


def _llama(model: Path, name: str, keep: Path) -> dict[str, Any]:
    """The same weights in a format of llama.cpp's, read and written by llama.cpp."""
    from benchmarks import llama

    path = llama.quantize(model, name, keep)
    held, logits = _held(str(model))
    found = _judged(held, logits, llama.read(path, held))
    return {"bytes": path.stat().st_size, **found, "speed": llama.speed(path, PROMPT, 64)}


def _litert(model: Path, recipe: str, keep: Path) -> dict[str, Any]:
    """The same weights by a recipe of LiteRT's, in a `.litertlm` with the tokenizer that the bundles have."""
    from sdk.models.load import load_model

    path = litert_lm.build(model, recipe, keep, CONTEXT)
    held, logits = _held(str(model))
    found = _judged(held, logits, litert_lm.read(path, held))
    language = load_model(str(model), context=CONTEXT).language
    assert language is not None
    return {"bytes": path.stat().st_size, **found, "speed": litert_lm.speed(path, language.tokenizer(PROMPT)["input_ids"], 64)}


def _held(model: str) -> tuple[list[Any], list[Any]]:
    """Windows of the held-out text and the float model's logits on them."""
    import torch

    from sdk.models.load import load_model
    from sdk.models.text import windows

    loaded = load_model(model, context=CONTEXT)
    assert loaded.language is not None
    held = [tokens for (tokens,) in windows(loaded.language, _news()[:HELD_OUT])[:WINDOWS]]
    module = loaded.module()
    with torch.no_grad():
        return held, [module(tokens)[0].numpy() for tokens in held]


def _news() -> list[str]:
    """News documents of gensim's test data, a line each."""
    from importlib.util import find_spec

    place = find_spec("gensim")
    assert place is not None and place.origin is not None
    return (Path(place.origin).parent / "test" / "test_data" / "lee_background.cor").read_text("utf-8").splitlines()


def _judged(held: list[Any], wanted: list[Any], got: list[Any]) -> dict[str, float]:
    """Perplexity of `got`, and its divergence and agreement with `wanted`: logits [1, n, vocabulary] per window."""
    import torch

    losses = [
        float(torch.nn.functional.cross_entropy(torch.as_tensor(out[0, :-1]), tokens[0, 1:]))
        for tokens, out in zip(held, got, strict=True)
    ]
    apart = [float(divergence(w[0].astype("float64"), g[0].astype("float64")).mean()) for w, g in zip(wanted, got, strict=True)]
    same = [float((w.argmax(-1) == g.argmax(-1)).mean()) for w, g in zip(wanted, got, strict=True)]
    return {
        "perplexity": math.exp(sum(losses) / len(losses)), "divergence": sum(apart) / len(apart),
        "agreement": sum(same) / len(same),
    }  # fmt: skip


def _float(model: str) -> dict[str, Any]:
    """The float model's own perplexity, and the speed of transformers with its cache."""
    import torch
    import transformers

    held, logits = _held(model)
    path = Path(model)
    words = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
    place = str(path.parent) if words else model
    tokenizer = transformers.AutoTokenizer.from_pretrained(place, **words)
    causal = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **words)
    ids = torch.tensor([tokenizer(PROMPT)["input_ids"]])
    times = []
    for count in (1, 33):
        began = time.perf_counter()
        causal.generate(ids, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0)
        times.append(time.perf_counter() - began)
    found = _judged(held, logits, logits)
    return {"bytes": sum(p.numel() * 4 for p in causal.parameters()), **found, "speed": 32 / (times[1] - times[0])}


def page() -> None:
    """Write the page from the kept rows."""
    document = read("language")
    write_page(
        "language", "Language models", intro("benchmarks.language", document),
        f"{WINDOWS} windows of 127 tokens of news; bundles are calibrated with other news (llama.cpp's files are not) and "
        "executed, and compared with the float model token by token. Speed is of writing 64 tokens after a short prompt; "
        "rows are measured one by one, often beside other work: [decode](decode.md) compares speeds. "
        "`permuted.gguf` are the weights of `smollm2.gguf` in another order of channels (`benchmarks/permuted.py`): the "
        "same function, but off the grid of Q4_1 that these weights were published on, which formats of groups hold exactly. "
        "LiteRT's recipes: AI Edge Quantizer's, on what litert-torch's own exporter writes of the model, in a `.litertlm`.",
        table(document["rows"], COLUMNS),
    )


if __name__ == "__main__":
    work(one) if sys.argv[1:] and sys.argv[1].startswith("{") else main()
