"""Writes and reads `.litertlm` files: what LiteRT-LM needs of a language model besides its graphs, in sections of one file."""

from __future__ import annotations

import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from sdk.errors import CheckFailed, Missing
from sdk.models.language import Language

MAGIC = b"LITERTLM"

HEADER = 32
"""Offset of the header's table; the 8 bytes before it say where it ends."""

BLOCK = 16 * 1024
"""Sections begin at multiples of it."""

MODEL_TYPE = "tf_lite_prefill_decode"
"""What the file calls a model with prefill and decode signatures."""

FAMILIES = {"qwen3": "qwen3", "qwen2": "qwen2p5", "gemma3_text": "gemma3"}
"""Model types of transformers → those that LiteRT-LM knows by name; all others are `generic_model`."""


PLAIN = (
    "{%- set sdk = namespace(all=[]) -%}{%- for m in messages -%}"
    "{%- set text = m['content'] if m['content'] is string else m['content'] | map(attribute='text') | join('') -%}"
    "{%- set sdk.all = sdk.all + [{'role': m['role'], 'content': text}] -%}"
    "{%- endfor -%}{%- set messages = sdk.all %}"
)
"""In front of a chat template: LiteRT-LM hands the content of a message on in parts, most templates expect a text."""


def pack(model: bytes, language: Language) -> bytes:
    """Return the file of a `.tflite` model with two signatures: metadata, tokenizer and graphs, the same for the same input."""
    schema = _schema()
    kinds = schema.AnySectionDataType
    sections = [
        ({}, kinds.LlmMetadataProto, metadata(language)),
        ({}, kinds.HF_Tokenizer_Zlib, _compressed(tokenizer_json(language))),
        ({"model_type": MODEL_TYPE}, kinds.TFLiteModel, model),
    ]
    begin = _rounded(HEADER + len(_table(schema, sections, [1] * len(sections))))
    begins = []
    for _, _, data in sections:
        begins.append(begin)
        begin = _rounded(begin + len(data))
    table = _table(schema, sections, begins)
    out = bytearray(begins[-1])
    out[: HEADER - 8] = MAGIC + b"".join(number.to_bytes(4, "little") for number in _version()) + bytes(4)
    out[HEADER - 8 : HEADER] = (HEADER + len(table)).to_bytes(8, "little")
    out[HEADER : HEADER + len(table)] = table
    for (_, _, data), start in list(zip(sections, begins, strict=True))[:-1]:
        out[start : start + len(data)] = data
    return bytes(out) + model


def unpack(path: Path) -> bytes:
    """Return the `.tflite` model in the file at `path`; CheckFailed says what is wrong with it."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            begin, end = _place(file, size, path)
            file.seek(begin)
            return file.read(end - begin)
    except OSError as error:
        raise CheckFailed(f"{path}: cannot be read: {error.strerror or error}") from error


def _place(file: BinaryIO, size: int, path: Path) -> tuple[int, int]:
    """First byte and end of the only model in a file of `size` bytes."""
    head = file.read(HEADER)
    end = int.from_bytes(head[HEADER - 8 :], "little")
    if head[: len(MAGIC)] != MAGIC or not HEADER < end <= size:
        raise CheckFailed(f"{path}: is not a .litertlm file (no {MAGIC.decode()} mark, or a header beyond its end)")
    try:
        places = _models(file.read(end - HEADER))
    except Missing:
        raise
    except Exception as error:
        raise CheckFailed(f"{path}: is corrupt ({type(error).__name__} while reading its header)") from error
    if len(places) != 1 or not end <= places[0][0] < places[0][1] <= size:
        raise CheckFailed(f"{path}: is corrupt: its header gives no place of a model in the file")
    return places[0]


def _models(table: bytes) -> list[tuple[int, int]]:
    """First byte and end of each section with a model."""
    schema = _schema()
    found = schema.LiteRTLMMetaData.GetRootAs(table).SectionMetadata()
    sections = [found.Objects(index) for index in range(found.ObjectsLength())]
    kind = schema.AnySectionDataType.TFLiteModel
    return [(each.BeginOffset(), each.EndOffset()) for each in sections if each.DataType() == kind]


def metadata(language: Language) -> bytes:
    """What LiteRT-LM is told of a model: the tokens that begin and end a text, the context and the chat template."""
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    made = llm_metadata_pb2.LlmMetadata()
    tokenizer = language.tokenizer
    if language.begin is not None and _begins(tokenizer, language.begin):
        made.start_token.token_ids.ids.append(language.begin)
    for token in language.ends:
        made.stop_tokens.add().token_ids.ids.append(token)
    if tokenizer.chat_template:
        made.jinja_prompt_template = PLAIN + tokenizer.chat_template
    made.max_num_tokens = language.context
    getattr(made.llm_model_type, FAMILIES.get(language.family, "generic_model")).SetInParent()
    made.supports_thinking = made.supports_function_calling = False
    return bytes(made.SerializeToString(deterministic=True))


def _begins(tokenizer: Any, begin: int) -> bool:
    """Whether LiteRT-LM has to begin texts with a token: the tokenizer does, or the template by a name that is empty there."""
    return list(tokenizer("x")["input_ids"])[:1] == [begin] or "bos_token" in (tokenizer.chat_template or "")


def tokenizer_json(language: Language) -> bytes:
    """The tokenizer as the `tokenizers` library has it, keys in their order."""
    with TemporaryDirectory() as folder:
        language.tokenizer.save_pretrained(folder)
        path = Path(folder) / "tokenizer.json"
        if not path.exists():
            raise Missing("LiteRT-LM needs a tokenizer of the `tokenizers` library: save the model with its fast tokenizer")
        return path.read_bytes()


def _compressed(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + zlib.compress(data, 9)


def _table(schema: Any, sections: Any, begins: list[int]) -> bytes:
    """The header's table of sections, packed."""
    import flatbuffers

    objects = [
        schema.SectionObjectT(
            items=[_entry(schema, key, value) for key, value in facts.items()], dataType=kind, beginOffset=begin,
            endOffset=begin + len(data),
        )
        for (facts, kind, data), begin in zip(sections, begins, strict=True)
    ]  # fmt: skip
    made = schema.LiteRTLMMetaDataT(
        systemMetadata=schema.SystemMetadataT(entries=[_entry(schema, "Authors", "snugfit")]),
        sectionMetadata=schema.SectionMetadataT(objects=objects),
    )
    builder = flatbuffers.Builder(BLOCK)
    builder.Finish(made.Pack(builder))
    return bytes(builder.Output())


def _entry(schema: Any, key: str, value: str) -> Any:
    return schema.KeyValuePairT(key=key, value=schema.StringValueT(value), valueType=schema.VData.StringValue)


def _rounded(offset: int) -> int:
    return -(-offset // BLOCK) * BLOCK


def _version() -> tuple[int, int, int]:
    from litert_lm_builder import litertlm_core as core

    return core.LITERTLM_MAJOR_VERSION, core.LITERTLM_MINOR_VERSION, core.LITERTLM_PATCH_VERSION


def _schema() -> Any:
    try:
        from litert_lm_builder import litertlm_header_schema_py_generated
    except ImportError as error:
        raise Missing("a .litertlm file needs litert-lm-builder: pip install 'snugfit[tflite]'") from error
    return litertlm_header_schema_py_generated
