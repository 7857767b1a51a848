"""A bundle for LiteRT: it is verified, checked and made to talk here, and LiteRT-LM itself writes the same text."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sdk
from sdk.bundles import Bundle
from sdk.cli.main import run
from sdk.generate import generate
from sdk.pipeline import verify_bundle
from sdk.progress import SilentReporter
from tests.language.conftest import make_config, save_model

pytest.importorskip("litert_torch")
pytestmark = pytest.mark.slow

PROMPTS = ("Are you going to the island?", "The ferry " * 30)

TALK = """
import json, litert_lm, sys
found = []
with litert_lm.Engine(sys.argv[1], backend=litert_lm.Backend.CPU()) as engine:
    for prompt in json.loads(sys.argv[2]):
        sampler = litert_lm.SamplerConfig(top_k=1, top_p=1.0, temperature=1.0, seed=0)
        with engine.create_session(apply_prompt_template=False, sampler_config=sampler) as session:
            session.run_prefill([prompt])
            found.append(session.run_decode().texts[0])
print("\\nTEXTS" + json.dumps(found))
"""
"""What a process with LiteRT-LM does: the most likely tokens behind each prompt until the context is full."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A model whose weights are large enough that it does not repeat itself."""
    folder = tmp_path_factory.mktemp("talking")
    save_model(folder / "model", make_config(initializer_range=0.3, tie_word_embeddings=False))
    return sdk.package(str(folder / "model"), device="pixel8", target="tflite", uniform="q4", context=200, out=folder / "out")


def test_the_bundle_is_verified_and_its_reference_is_what_litert_computes(bundle: Bundle) -> None:
    language = bundle.manifest.language
    assert bundle.artifact.name == "model.litertlm" and language is not None and language.agreement == 1
    assert bundle.manifest.measured.relative_error.value <= 1e-5
    assert all(found.ok for found in verify_bundle(bundle.path, SilentReporter()))


def test_it_talks_and_is_checked_on_this_machine_alone(bundle: Bundle, capsys: Any) -> None:
    assert run(["generate", str(bundle.path), "Hello", "--max-tokens", "4", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["tokens"]) <= 4
    assert run(["check", str(bundle.path), "--on", "local", "--json"]) == 0
    capsys.readouterr()
    assert run(["check", str(bundle.path), "--on", "adb"]) == 2
    assert "is a language model, which its own runner executes on a device" in capsys.readouterr().err


def test_litert_lm_writes_the_same_text(bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("litert_lm")
    file = shutil.copy(bundle.artifact, tmp_path)  # LiteRT-LM leaves a cache beside it
    said = subprocess.run([sys.executable, "-c", TALK, file, json.dumps(PROMPTS)], capture_output=True, text=True, check=True)
    texts = json.loads(next(line for line in said.stdout.splitlines() if line.startswith("TEXTS")).removeprefix("TEXTS"))
    for prompt, text in zip(PROMPTS, texts, strict=True):
        assert generate(bundle, prompt, 200, plain=True).text.startswith(text)
        assert len(text) > 20
