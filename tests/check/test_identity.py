"""Numbers of another phone are no verdict on the one that a bundle is for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_adb import SERIAL, FakeAdb

from sdk.bundles import open_bundle
from sdk.check.identity import other_device
from sdk.check.result import DeviceEntry
from sdk.check.runners.facts import parse_facts
from sdk.cli.main import run
from sdk.devices import find_device


def said(**properties: str) -> str:
    """What the script of facts prints of a phone with these properties."""
    lines = [f"ro.product.{name} {value}" for name, value in properties.items()]
    return "\n".join(("machine aarch64", "kernel Linux 6.1", "boot another", "ro.build.version.release 14", *lines))


@pytest.mark.parametrize(
    ("device", "properties", "words"),
    [
        ("pixel8", {"brand": "google", "device": "shiba", "model": "Pixel 8"}, ""),
        ("pixel8", {"brand": "google", "device": "husky", "model": "Pixel 8"}, "husky, and the bundle is for google/shiba"),
        ("oneplus12", {"brand": "oneplus", "device": "OP595DL1"}, ""),
        ("pixel8", {"model": "Pixel 8"}, ""),
        ("pixel8", {"model": "Pixel 8 Pro"}, "is a Pixel 8 Pro, and the bundle is for Pixel 8"),
        ("pixel8", {"model": "Phone of nobody"}, ""),
        ("iphone15pro", {"model": "Phone of nobody"}, "runs android, and the bundle is for iPhone 15 Pro, which runs ios"),
        ("host", {"brand": "google", "device": "husky"}, ""),
    ],
)  # fmt: skip
def test_what_both_say_decides(device: str, properties: dict[str, str], words: str) -> None:
    found = parse_facts(said(**properties), "12AB", phone=True)
    why = other_device(find_device(device), found.device)
    assert words in why and bool(words) == bool(why)


@pytest.mark.parametrize(("system", "words"), [("Linux 6.6.31", "runs linux"), ("Darwin 24.0", "runs macos"), ("none", "")])
def test_a_board_is_no_phone(system: str, words: str) -> None:
    why = other_device(find_device("pixel8"), DeviceEntry(id="pi", os=system))
    assert words in why and bool(words) == bool(why)


@pytest.mark.parametrize(
    ("device", "board", "words"),
    [
        ("raspberrypi5", "Raspberry Pi 5 Model B Rev 1.0", ""),
        ("raspberrypi5", "Raspberry Pi 4 Model B Rev 1.5", "is a Raspberry Pi 4 Model B Rev 1.5, and the bundle is"),
        ("raspberrypi5", "linux,dummy-virt", "is a linux,dummy-virt"),
        ("raspberrypi5", "", ""),
        ("pixel8", "Raspberry Pi 5 Model B Rev 1.0", "is a Raspberry Pi 5, and the bundle is for Pixel 8"),
    ],
)  # fmt: skip
def test_boards_are_told_apart_by_their_device_tree(device: str, board: str, words: str) -> None:
    text = "machine aarch64\nkernel Linux 6.6.31\nhost pi\nboot another" + (f"\nboard {board}" if board else "")
    found = parse_facts(text, "pi", phone=False)
    assert (found.device.model, found.device.name) == (board, board or "pi")
    why = other_device(find_device(device), found.device)
    assert words in why and bool(words) == bool(why)


def test_a_profile_that_is_not_known_is_compared_with_nothing() -> None:
    assert other_device(None, DeviceEntry(id="12AB", product="google/husky", model="Pixel 8 Pro")) == ""


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAdb]:
    pytest.importorskip("adbutils", reason="adbutils is not installed: pip install 'snugfit[adb]'")
    (tmp_path / "phone").mkdir()
    fake = FakeAdb(tmp_path / "phone", {SERIAL: "device"}, {})
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(fake.port))
    monkeypatch.setenv("ANDROID_ADB_SERVER_HOST", "127.0.0.1")
    yield fake
    fake.stop()


@pytest.mark.parametrize(("codename", "verdict", "code"), [("shiba", "passed", 0), ("husky", "unjudged", 1)])
@pytest.mark.usefixtures("quiet")
def test_another_phone_passes_no_budget(
    bundle: Path, phone: FakeAdb, tmp_path: Path, capsys: pytest.CaptureFixture[str], codename: str, verdict: str, code: int
) -> None:
    facts = said(brand="google", device=codename, model="a phone")
    phone.faults["facts"] = f"{facts}\nroot {phone.sandbox}\n".encode()
    _, outputs = open_bundle(bundle).reference
    (tmp_path / "output").write_bytes(outputs[0].tobytes())
    program = tmp_path / "program"
    program.write_text(
        "#!/bin/sh\necho snugfit-run 1; echo runtime fake 1; echo load_ns 9; echo first_ns 7; echo sample_ns 5 5 5 5 5\n"
        f"cp {tmp_path}/output output_000.bin; echo output output_000.bin float32 1x16; echo end\n"
    )
    flags = ["--on", "adb", "--runner", str(program), "--max-latency", "8ms", "--json"]
    assert run(["check", str(bundle), *flags]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["origin"] == "device" and found["device"]["product"] == f"google/{codename}"
    assert {budget["name"]: budget["verdict"] for budget in found["budgets"]} | {"max_memory": ""} == {
        "outputs": "passed", "max_latency": verdict, "max_memory": ""
    }  # fmt: skip
    assert bool(found["other_device"]) == (codename == "husky") == any("judged for neither" in note for note in found["notes"])
