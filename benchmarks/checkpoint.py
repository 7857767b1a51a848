"""A GGUF's model as a Hugging Face directory: `python -m benchmarks.checkpoint MODEL.gguf FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path


def as_directory(model: Path, folder: Path) -> Path:
    """Return `model` where it is a directory, else `folder` with its weights (float32), configuration and tokenizer."""
    import torch
    import transformers

    if model.is_dir():
        return model
    place, name = str(model.parent), model.name
    config = transformers.AutoConfig.from_pretrained(place, gguf_file=name)
    read = transformers.AutoModelForCausalLM.from_pretrained(place, gguf_file=name, dtype=torch.float32)
    plain = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # what came from a GGUF is not saved
    plain.load_state_dict(read.state_dict())
    plain.tie_weights()
    plain.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(place, gguf_file=name).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    as_directory(Path(sys.argv[1]), Path(sys.argv[2]))
