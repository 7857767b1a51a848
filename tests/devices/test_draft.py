"""Drafts of profiles: what a phone or a board says of itself, with nothing made up."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.devices import Kernel, Kernels, find_device, validate_file
from sdk.devices.draft import SCRIPT, draft_profile
from sdk.devices.writing import profile_text

PHONE = "\n".join([
    "machine aarch64", "kernel Linux 6.1.75-android14", "ro.product.model Pixel 8", "ro.product.brand google",
    "ro.product.device shiba", "ro.build.version.release 15", "ro.soc.manufacturer Google", "ro.soc.model Tensor G3",
    *[f"khz {core} {1704000 if core < 4 else 2367000 if core < 8 else 2914000}" for core in range(9)],
    "memory 7812312 kB",
    *[f"core {core}\nisa fp asimd asimddp i8mm sve2\nmaker 0x41\npart {'0xd46' if core < 4 else '0xd4d' if core < 8 else '0xd4e'}"
      for core in range(9)],
    "zone BIG", "zone LITTLE", "zone BIG",
])  # fmt: skip


def test_a_phone_says_what_it_is(tmp_path: Path) -> None:
    draft = draft_profile(PHONE, phone=True)
    assert (draft.name, draft.title, draft.vendor, draft.os.name) == ("pixel_8", "Pixel 8", "google", "android")
    assert [(c.core, c.count.value, c.mhz.value if c.mhz else None) for c in draft.soc.clusters] == [
        ("Cortex-X3", 1, 2914), ("Cortex-A715", 4, 2367), ("Cortex-A510", 4, 1704),
    ]  # fmt: skip
    assert draft.soc.clusters[0].isa is not None
    assert set(draft.soc.clusters[0].isa.value) == {"neon", "dotprod", "i8mm", "sve2"}
    assert draft.ram is not None
    assert draft.ram.value == 7812312 * 1024
    assert draft.play.device is not None
    assert draft.play.device.value == "google/shiba"
    assert "BIG, LITTLE" in draft.note
    path = tmp_path / "phone.yaml"
    path.write_text(profile_text(draft))
    assert validate_file(path) == draft


def test_this_machine_answers_the_script(tmp_path: Path) -> None:
    said = subprocess.run(["sh", "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    draft = draft_profile(said, phone=False)
    assert draft.os.name == "linux"
    assert draft.ram is not None
    assert sum(cluster.count.value for cluster in draft.soc.clusters) >= 1


@given(st.text(max_size=200) | st.lists(st.sampled_from(PHONE.splitlines()), max_size=30).map("\n".join))
def test_whatever_a_device_says_the_draft_is_a_profile(said: str) -> None:
    draft = draft_profile(said, phone=True)
    assert draft.soc.name.value


def test_kernels_survive_the_file(tmp_path: Path) -> None:
    linear = Kernel(kind="linear", scheme="fp32", tile=(1, 16, 1), ns=(0.1, 0.2, 0.0, 1e-05, 300.0))
    rows, stream = (linear, Kernel(kind="add", ns=(0, 1, 0, 0, 2))), ((10, 0.1), (20, 0.2))
    found = Kernels(runtime="r", origin="o: with, odd 'signs'", tail=1.05, error=(-0.1, 0.1), stream=stream, rows=rows)
    profile = find_device("host").model_copy(update={"kernels": {"tflite": found}})
    path = tmp_path / "host.yaml"
    path.write_text(profile_text(profile))
    assert validate_file(path).kernels["tflite"] == found


@pytest.mark.parametrize("name", ["pixel8", "iphone15pro", "raspberrypi5"])
def test_shipped_profiles_survive_too(name: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(profile_text(find_device(name)))
    assert validate_file(path) == find_device(name)
