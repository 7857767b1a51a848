"""The selector: never a variant that does not fit, and the same answer in Python, Kotlin and Swift."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.devices import list_devices
from sdk.release.selector import Facts, Offer, Phone, make_selector, select, vectors
from sdk.release.selector.select import at_least, numbers, spelled

MB, GIB = 10**6, 2**30
SEED, COUNT = 2026, 1000


def fleet() -> tuple[list[Offer], list[Phone]]:
    """All shipped devices; three variants of 40 to 400 MB, tight budgets where there is little RAM."""
    offers = [
        offer("coreml-1", "coreml", 120 * MB, 0.02, min_os=16.0),
        offer("coreml-2", "coreml", 300 * MB, 0.004, min_os=18.0, socs=("Apple A17 Pro", "Apple A18", "Apple M4")),
        offer("executorch-1", "executorch", 40 * MB, 0.05),
        offer("tflite-1", "tflite", 400 * MB, 0.001),
    ]
    phones = [phone_of(device, offers) for device in list_devices() if device.name != "host"]
    return offers, phones


def offer(name, runtime, size, loss, min_os=None, socs=None):
    return Offer(
        id=name, runtime=runtime, artifact=f"{name}/model", sha256="ab" * 32, bytes=size, loaded=2 * size, loss=loss,
        price=loss, min_os=min_os, socs=socs,
    )  # fmt: skip


def phone_of(device, offers):
    small = device.ram.value <= 6 * GIB
    phone = Phone(
        name=device.name, os=device.os.name, min_os=device.os.floor.value if device.os.floor else None,
        soc=device.soc.name.value, ram=device.ram.value, app_memory=device.app_memory.value,
        runtimes=frozenset(device.targets), max_size=150 * MB if small else 500 * MB, max_loss=None, variant="",
    )  # fmt: skip
    return replace(phone, variant=min((o for o in offers if able(o, phone)), key=lambda o: o.price).id)


def able(offer, phone):
    """Whether the phone can have the variant, said apart from the rules."""
    new = offer.min_os is None or (phone.min_os or 0) >= offer.min_os
    runs = offer.runtime in phone.runtimes and new and (offer.socs is None or phone.soc in offer.socs)
    return runs and offer.bytes <= phone.max_size and offer.loaded <= phone.app_memory


@pytest.fixture(scope="module")
def made():
    offers, phones = fleet()
    return offers, phones, json.loads(make_selector(offers, phones).text())


def test_every_device_of_the_fleet_gets_its_variant(made):
    _, phones, document = made
    for phone in phones:
        for ram in (phone.ram, int(0.9 * phone.ram), int(0.8 * phone.ram) + 1):
            facts = Facts(phone.os, f"{phone.min_os or 1:g}", ram, phone.soc, tuple(phone.runtimes))
            assert select(document, facts) == select(document, replace(facts, soc=phone.soc.upper()))
            chosen = select(document, facts)
            assert chosen.variant == phone.variant
            assert chosen.reason.startswith("known device: ") and phone.name in chosen.reason


def fits(offer: Offer, facts: Facts, phones: list[Phone]) -> bool:
    """What "fits" means, from the specification: runtime, OS, version, SoC, memory and the nearest device's budget."""
    here = [phone for phone in phones if phone.os == facts.os and offer.runtime in phone.runtimes]
    if offer.runtime not in facts.runtimes or not here or facts.ram is None:
        return False
    least = offer.min_os if offer.min_os is not None else min((p.min_os for p in here if p.min_os), default=0)
    if least and not (facts.os_version and tuple(map(int, facts.os_version.split("."))) >= (int(least),)):
        return False
    if offer.socs is not None and not any(spelled(facts.soc) and spelled(facts.soc) in spelled(soc) for soc in offer.socs):
        return False
    nearest = max((p.ram for p in here if int(0.8 * p.ram) <= facts.ram), default=min(p.ram for p in here))
    if any(offer.bytes > phone.max_size for phone in here if phone.ram == nearest):
        return False
    taken = min(phone.app_memory / phone.ram for phone in here) * facts.ram
    served = [phone.ram for phone in here if offer.loaded <= phone.app_memory and offer.bytes <= phone.max_size]
    return offer.loaded <= taken + 1 or any(facts.ram >= int(0.8 * ram) for ram in served)


def test_no_synthetic_device_gets_a_variant_that_does_not_fit(made):
    offers, phones, document = made
    by_id = {offer.id: offer for offer in offers}
    cases = vectors(document, COUNT, SEED)["cases"]
    assert len(cases) == COUNT
    chosen = [case for case in cases if case["variant"] is not None]
    for case in chosen:
        assert fits(by_id[case["variant"]], Facts.of(case["facts"]), phones), case
    assert {case["variant"] for case in chosen} == set(by_id), "the vectors reach every variant"
    reasons = {word for case in cases for word in re.findall(r": ([a-z ]+?)(?:;|$)", case["reason"])}
    assert {"runtime", "os", "os version", "soc", "ram", "budget"} <= reasons, "and every way not to fit"
    assert 100 < len(chosen) < COUNT - 100


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["android", "ios", "ipados", "linux", "other", None]),
    st.one_of(st.none(), st.integers(0, 30).map(str), st.floats(0, 30).map(lambda version: f"{version:.1f}")),
    st.one_of(st.none(), st.integers(0, 2**35)),
    st.one_of(st.none(), st.text(max_size=12), st.sampled_from(sorted({d.soc.name.value for d in list_devices()}))),
    st.lists(st.sampled_from(["coreml", "executorch", "tflite", "other"]), unique=True).map(tuple),
)  # fmt: skip
def test_no_device_at_all_gets_a_variant_that_does_not_fit(system, version, ram, soc, runtimes):
    offers, phones = fleet()
    document = json.loads(make_selector(offers, phones).text())
    facts = Facts(system, version, ram, soc, runtimes)
    chosen = select(document, facts)
    if chosen.variant is not None:
        assert fits(next(offer for offer in offers if offer.id == chosen.variant), facts, phones)
    else:
        assert chosen.reason.startswith("no variant fits: coreml-1: ")


def test_an_unknown_device_gets_the_best_that_fits(made):
    _, _, document = made
    unknown = Facts("android", "15", 12 * GIB, "MT6989", ("tflite", "executorch"))
    assert select(document, unknown).variant == "tflite-1"
    assert select(document, replace(unknown, ram=5 * GIB)).variant == "executorch-1", "held to the budget of small devices"
    assert select(document, replace(unknown, runtimes=("executorch",))).variant == "executorch-1"
    assert select(document, Facts("ios", "18.2", 8 * GIB, "A19", ("coreml",))).variant == "coreml-1", "its SoC is not known"
    assert select(document, replace(unknown, ram=None)).reason.endswith("executorch-1: ram; tflite-1: ram")
    assert select(document, Facts()).variant is None


def test_versions_are_numbers():
    assert at_least("17.10", "17.9") and at_least("18", "18.0") and not at_least("16.7.10", "17")
    for text in ("", "18-beta", "1..2", "1.2.3.4.5", "-1", "١", "1234567890", None):
        assert numbers(text) is None


def test_facts_of_another_type_are_not_known():
    assert Facts.of({"os": 1, "os_version": 17, "ram": True, "soc": [], "runtimes": "tflite"}) == Facts()


def test_the_same_fleet_gives_the_same_bytes(made):
    offers, phones, document = made
    assert json.loads(make_selector(offers[::-1], phones[::-1]).text()) == document
    assert vectors(document, 50) == vectors(document, 50)


def source(name: str) -> str:
    return (files("sdk.release.selector") / "reference" / name).read_text("utf-8")


def test_the_three_selectors_have_the_same_steps_in_the_same_order():
    python = (files("sdk.release.selector") / "select.py").read_text("utf-8").partition("def select")[2]
    steps = ("select", "matches", "unmet", "at_least", "numbers", "spelled")
    words = re.findall(r'return "([a-z ]+)"', python)
    assert words == ["runtime", "os", "os version", "soc", "ram"]
    for name in ("Selector.kt", "Selector.swift"):
        text = source(name)
        assert re.findall(r'return "([a-z ]+)"', text) == words
        found = [each.replace("atLeast", "at_least") for each in re.findall(r"fun[c ] ?(\w+)\(", text)]
        assert [each for each in found if each in steps] == list(steps)
        for literal in ("known device: ", "best variant that fits", "no variant fits: ", "budget"):
            assert literal in text and literal in python


JSON_JAR = Path("/usr/share/java/com.android.json.jar")
HERE = Path(__file__).parent


def answers(command: list[str], folder: Path, document: object) -> None:
    """Run a compiled selector over the vectors and compare every answer."""
    cases = vectors(document, COUNT, SEED)["cases"]
    (folder / "selector.json").write_text(json.dumps(document))
    (folder / "vectors.json").write_text(json.dumps({"cases": cases}))
    run = subprocess.run([*command, str(folder / "selector.json"), str(folder / "vectors.json")], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    lines = run.stdout.splitlines()
    assert lines == [f"{case['variant'] or '-'} {case['reason']}" for case in cases]


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("kotlinc") and JSON_JAR.exists()), reason="no kotlinc: `bash scripts/compilers`")
def test_kotlin_answers_as_python_does(made, tmp_path):
    jar, sources = tmp_path / "selector.jar", [tmp_path / "Selector.kt", HERE / "Main.kt"]
    sources[0].write_text(source("Selector.kt"))
    compiled = subprocess.run(
        ["kotlinc", "-cp", str(JSON_JAR), *map(str, sources), "-include-runtime", "-d", str(jar)], capture_output=True, text=True
    )
    assert compiled.returncode == 0, compiled.stderr[-2000:]
    answers(["java", "-cp", f"{jar}:{JSON_JAR}", "snugfit.MainKt"], tmp_path, made[2])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("swiftc"), reason="no swiftc: `bash scripts/compilers`")
def test_swift_answers_as_python_does(made, tmp_path):
    program, sources = tmp_path / "selector", [tmp_path / "Selector.swift", tmp_path / "main.swift"]
    sources[0].write_text(source("Selector.swift"))
    sources[1].write_text((HERE / "main.swift").read_text())
    compiled = subprocess.run(["swiftc", "-O", *map(str, sources), "-o", str(program)], capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr[-2000:]
    answers([*(["swift-root"] if shutil.which("swift-root") else []), str(program)], tmp_path, made[2])
