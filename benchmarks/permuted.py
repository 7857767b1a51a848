"""Takes a Llama GGUF off the grid that its weights lie on: `python -m benchmarks.permuted MODEL.gguf OUT.gguf`.

Channels are put into another order wherever the network computes the same with them: the residual stream, each layer's inner
channels, and the dimensions of every value head. Groups of 32 neighbours then have members of several old groups, so
that no format of groups holds them exactly. Written in float32; the function is the same up to the order of sums.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

SEED = 0


def permute(source: Path, out: Path) -> None:
    """Write `source` with permuted channels, in float32, to `out`."""
    import gguf
    import numpy as np

    reader = gguf.GGUFReader(str(source))
    architecture = _text(reader, "general.architecture")
    heads, groups = (int(_number(reader, f"{architecture}.attention.{name}")) for name in ("head_count", "head_count_kv"))
    tensors = {t.name: gguf.dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}
    width = tensors["token_embd.weight"].shape[1]
    generator = np.random.default_rng(SEED)
    stream = generator.permutation(width)
    layers = int(_number(reader, f"{architecture}.block_count"))
    for index in range(layers):
        block = f"blk.{index}."
        inner = generator.permutation(tensors[f"{block}ffn_down.weight"].shape[1])
        size = tensors[f"{block}attn_v.weight"].shape[0] // groups
        turns = [generator.permutation(size) for _ in range(groups)]
        values = np.concatenate([group * size + turn for group, turn in enumerate(turns)])
        read = np.concatenate([head * size + turns[head * groups // heads] for head in range(heads)])
        for name, rows, columns in (
            ("attn_norm", stream, None), ("ffn_norm", stream, None), ("attn_q", None, stream), ("attn_k", None, stream),
            ("attn_v", values, stream), ("attn_output", stream, read), ("ffn_gate", inner, stream), ("ffn_up", inner, stream),
            ("ffn_down", stream, inner),
        ):  # fmt: skip
            tensors[f"{block}{name}.weight"] = _moved(tensors[f"{block}{name}.weight"], rows, columns)
    for name, rows, columns in (("token_embd", None, stream), ("output", None, stream), ("output_norm", stream, None)):
        if f"{name}.weight" in tensors:
            tensors[f"{name}.weight"] = _moved(tensors[f"{name}.weight"], rows, columns)
    writer = gguf.GGUFWriter(str(out), architecture)
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name not in ("general.architecture", "general.file_type"):
            kind = field.types[0]
            inner_kind = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), kind, inner_kind)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for name, value in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _moved(tensor: Any, rows: Any, columns: Any) -> Any:
    tensor = tensor if rows is None else tensor[rows]
    return tensor if columns is None else tensor[:, columns]


def _text(reader: Any, key: str) -> str:
    return str(reader.fields[key].contents())


def _number(reader: Any, key: str) -> float:
    return float(reader.fields[key].contents())


if __name__ == "__main__":
    permute(Path(sys.argv[1]), Path(sys.argv[2]))
