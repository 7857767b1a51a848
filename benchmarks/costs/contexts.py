"""Peak memory of language models over contexts, predicted and measured: `python -m benchmarks.costs.contexts [--gguf SMOLLM2]`.

Small decoders of random weights, of every family that the SDK takes, measured as `sdk check --on local` does, a window at a time.
`looked at` cases served to find out what LiteRT holds; the others were predicted before they were measured.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.costs.artifacts import priced, target
from benchmarks.costs.measured import memory_of
from benchmarks.results_file import intro, read, save, table, write_page

NAME = "contexts"
PLANS = {
    "fp32": ("fp32", "fp32"), "int8": ("int8_channel", "int8_channel_dynamic"), "int4": ("int4_channel", "int4_channel_dynamic"),
    "int4 in blocks of 32": ("int4_g32", "int4_g32_dynamic"),
}  # fmt: skip
"""Plan → schemes of the embedding and of every linear."""
SMOLLM2 = "SmolLM2-135M"


@dataclass(frozen=True, slots=True)
class Case:
    """A random decoder in one plan and context; `seen`: it served to find out what LiteRT holds."""

    family: str
    vocabulary: int
    width: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    plan: str
    context: int
    tied: bool = True
    seen: bool = False

    @property
    def name(self) -> str:
        """The shape in words."""
        heads = f"{self.heads} heads of {self.head_dim} ({self.kv_heads})"
        untied = "" if self.tied else ", untied"
        return f"{self.family}, {self.width} wide, {self.layers} layers, {heads}, {self.vocabulary:,} words{untied}"


CASES = (
    Case("llama", 49_152, 256, 768, 4, 4, 2, 64, "int8", 256, seen=True),
    Case("llama", 49_152, 256, 768, 4, 4, 2, 64, "int8", 2048, seen=True),
    Case("qwen3", 49_152, 384, 1024, 6, 6, 2, 64, "int4 in blocks of 32", 1024, seen=True),
    Case("llama", 49_152, 512, 1408, 8, 8, 4, 64, "int4", 512, seen=True),
    Case("llama", 32_000, 512, 1408, 3, 8, 1, 64, "int4", 256),
    Case("qwen3", 49_152, 512, 1536, 4, 8, 2, 128, "int8", 4096),
    Case("phi3", 32_064, 384, 1024, 5, 6, 6, 64, "int8", 1024, tied=False),
    Case("mistral", 16_384, 256, 768, 3, 4, 4, 64, "fp32", 4096),
    Case("qwen2", 100_608, 448, 1216, 4, 7, 1, 64, "int8", 512),
    Case("gemma3_text", 65_536, 320, 1280, 4, 4, 1, 256, "int4", 2048),
)


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", action="append", choices=("tflite", "executorch"))
    parser.add_argument("--gguf", type=Path, help="SmolLM2-135M, in 8 bits at a context of 512, besides")
    parser.add_argument("--keep", type=Path, help="folder of the models and artifacts")
    given = parser.parse_args()
    rows = {_key(row): row for row in read(NAME)["rows"]}
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        for runtime in given.target or ("tflite", "executorch"):
            for case in (*CASES, *([given.gguf] if given.gguf else [])):
                row = measure(case, runtime, folder)
                print(row, file=sys.stderr, flush=True)
                rows[_key(row)] = row
                save(NAME, [rows[key] for key in sorted(rows)])
                gc.collect()
    page()


def measure(case: Case | Path, runtime: str, folder: Path) -> dict[str, Any]:
    """Return what is predicted of a case (or of a GGUF), and what was measured."""
    from sdk.models.load import load_model
    from sdk.pipeline.foreseeing import costs_of
    from sdk.pipeline.planning import ties_of
    from sdk.schemes import scheme_named

    name, plan, context = (SMOLLM2, "int8", 512) if isinstance(case, Path) else (case.name, case.plan, case.context)
    source = case if isinstance(case, Path) else random_model(case, folder / name.replace(", ", "-").replace(" ", "-"))
    chosen, model = target(runtime), load_model(str(source), context=context)
    prices = priced(model, chosen)
    kept = {layer: [scheme_named(each) for each in found] for layer, found in prices.layers.items()}
    memory = costs_of(model, chosen, prices, None, ties_of(model, chosen, kept, prices)).memory
    assert memory is not None
    lookup, linear = PLANS[plan]
    schemes = {layer.name: lookup if layer.kind == "embedding" else linear for layer in model.inventory.layers}
    parts = memory.parts(schemes)
    path = build(model, chosen, schemes, folder / f"{source.name}-{runtime}-{plan.split()[-1]}-{context}")
    told = memory_of(path, runtime, (model.example[0],))
    looked = isinstance(case, Case) and case.seen and runtime == "tflite"
    return {
        "target": runtime, "model": name, "plan": plan, "context": context, "predicted_bytes": parts.peak,
        "file_bytes": path.stat().st_size, "measured_bytes": told.peak, "error": parts.peak / told.peak - 1,
        "cache_bytes": parts.cache, "packed_bytes": parts.packed, "activations_bytes": parts.activations,
        "looked_at": "yes" if looked else "",
    }  # fmt: skip


def build(model: Any, chosen: Any, schemes: dict[str, str], folder: Path) -> Path:
    """Lower and return the file; one that is there is not made again."""
    from sdk.quantize import quantize
    from sdk.schemes import scheme_named

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / str(getattr(chosen, "generates", None) or chosen.artifact)
    if not path.exists():
        chosen.lower(quantize(model, {name: scheme_named(each) for name, each in schemes.items()}), path, None, lambda _: None)
    return path


def random_model(case: Case, folder: Path) -> Path:
    """Write a decoder of random weights with a tokenizer of bytes and made-up words, and return its directory."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    if folder.exists():
        return folder
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<s>", "</s>", *alphabet, *(f"word{number}" for number in range(case.vocabulary - 100 - len(alphabet)))]
    tokenizer = Tokenizer(models.BPE(vocab={word: place for place, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    config = transformers.AutoConfig.for_model(
        case.family, vocab_size=case.vocabulary, hidden_size=case.width, intermediate_size=case.inner, bos_token_id=0,
        num_hidden_layers=case.layers, num_attention_heads=case.heads, num_key_value_heads=case.kv_heads, eos_token_id=1,
        head_dim=case.head_dim, max_position_embeddings=8192, pad_token_id=None, tie_word_embeddings=case.tied,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return folder


def _key(row: Any) -> tuple[str, str, str, int]:
    return row["target"], row["model"], row["plan"], row["context"]


def page() -> None:
    """Write docs/benchmarks/contexts.md."""
    document = read(NAME)
    columns = {
        "target": "target", "model": "model", "plan": "plan", "context": "context", "file_bytes": "file",
        "predicted_bytes": "predicted", "measured_bytes": "measured", "error": "error", "cache_bytes": "caches",
        "packed_bytes": "packed weights", "activations_bytes": "activations and logits", "looked_at": "looked at",
    }  # fmt: skip
    write_page(
        NAME, "Peak memory of language models over contexts", intro("benchmarks.costs.contexts", document),
        "MB. Random weights but for SmolLM2; measured as `sdk check --on local` does, one window of tokens at a time, in a "
        "process of its own. `looked at` cases served to find out what LiteRT holds; its others were predicted before they were "
        "measured.",
        table(document["rows"], columns),
    )  # fmt: skip


if __name__ == "__main__":
    main()
