"""Every way to get a profile wrong that we know of, and the one sentence it is answered with."""

import copy
from importlib.resources import files

import pytest
import yaml

from sdk.devices import find_device, validate_file
from sdk.errors import BadInput

GOOD = files("device_profiles").joinpath("raspberrypi", "raspberrypi5.yaml").read_text("utf-8")
CLUSTER = ("soc", "clusters", 0)

TEXTS = {
    "empty": ("", "is not a YAML mapping"),
    "a list": ("- a", "is not a YAML mapping"),
    "a tab": ("a:\n\t- b", "line 2"),
    "unclosed": ("a: [1", "line 2"),
    "not text": (b"\xff\xfe\x00", "not UTF-8"),
    "a control character": ("a: \x00", "YAML does not allow"),
    "a key twice": (GOOD + "\nname: other\n", "name: is given twice (lines 2 and"),
    "a nested key twice": (
        GOOD.replace("mhz:", "count: {value: 3, source: zephyr}\n      mhz:"),
        "soc.clusters[0].count: is given twice",
    ),
    "an alias": (GOOD + "\na: &a [1]\nb: *a\n", "b: uses a YAML alias: write the value out"),
    "a bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "uses a YAML alias"),
    "a merge": ("<<: {a: 1}", "write the values out"),
    "a python tag": ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    "an impossible date": ("schema: 2020-13-45", "put it in quotes"),
    "too deep": ("a: " + "[" * 100 + "]" * 100, "nests deeper"),
    "far too deep": ("a: " + "[" * 30_000, "nesting"),
    "a huge number": ("schema: " + "9" * 5000, "out of range"),
    "a list as key": ("? [a]\n: b", "a key must be one word"),
    "two documents": ("a: 1\n---\nb: 2", "another document"),
    "a key of two lines": ('"a\\nb": 1\n"a\\nb": 2', "a\\nb: is given twice"),
    "an odd key": (GOOD + '\n"a\\nb": 1', "a\\nb: is an unknown key"),
    "too large": ("# " + "x" * 1_000_000, "over 1000000 bytes"),
}

CHANGES = {
    "misspelt key": (
        ("memory_bandwith",),
        3,
        "memory_bandwith: is an unknown key: did you mean 'memory_bandwidth'?",
    ),
    "nested misspelt key": (
        (*CLUSTER, "mhzz"),
        1,
        "soc.clusters[0].mhzz: is an unknown key: did you mean 'mhz'?",
    ),
    "no source": (("ram", "source"), None, "ram.source: is missing: add it (where this value was found)"),
    "no value": (("ram", "value"), None, "ram.value: is missing"),
    "bare value": (("ram",), "8GB", "ram: '8GB': write a fact, such as {value: ..., source: ...}"),
    "size in words": (("ram", "value"), "8 gigs", "ram.value: '8 gigs': size '8 gigs' has an unknown unit"),
    "ambiguous size": (("ram", "value"), "8G", "write 8GB (decimal) or 8GiB (binary)"),
    "negative size": (("ram", "value"), -1, "not above zero"),
    "boolean size": (("ram", "value"), True, "ram.value: True: write a size such as 8GiB"),
    "nan size": (("ram", "value"), float("nan"), "ram.value: nan: write a size"),
    "source key misspelt": (
        ("ram", "source"),
        "zephir",
        "ram.source: 'zephir' is not in this file's `sources`: did you mean 'zephyr'?",
    ),
    "empty source": (("ram", "source"), "", "ram.source: ''"),
    "source that is no place": (("ram", "source"), "my cousin", "does not say where"),
    "source is a number": (("ram", "source"), 3, "ram.source: 3: write text"),
    "policy without a reason": (("app_memory", "why"), None, "app_memory: is a policy: add `why`"),
    "app gets more than there is": (("app_memory", "value"), "40GiB", "app_memory: is more than ram"),
    "clock with a unit": (
        (*CLUSTER, "mhz", "value"),
        "2.4GHz",
        "soc.clusters[0].mhz.value: '2.4GHz': write a whole number",
    ),
    "clock in GHz": ((*CLUSTER, "mhz", "value"), 2, "write a number of 100 or more"),
    "no cores": ((*CLUSTER, "count", "value"), 0, "write a number of 1 or more"),
    "unknown instruction set": ((*CLUSTER, "isa", "value"), ["i8m"], "'i8m': did you mean 'i8mm'?"),
    "unknown family": (
        ("accelerators", 0, "targets", "tflite", "value"),
        ["int3"],
        "'int3': did you mean 'int8'?",
    ),
    "unknown kind": (("accelerators", 0, "kind"), "tpu", "did you mean 'npu'?"),
    "target without accelerator": (("targets",), ["coreml"], "targets: 'coreml' runs on no accelerator here"),
    "target twice": (("targets",), ["tflite", "tflite"], "names one twice"),
    "no targets": (("targets",), [], "targets: []: list at least one"),
    "no accelerators": (("accelerators",), [], "accelerators: []: list at least one"),
    "accelerators null": (("accelerators",), "null", "accelerators: 'null': write a list"),
    "later schema": (("schema",), 2, "schema: 2: this version reads schema 1"),
    "no schema": (("schema",), None, "schema: is missing"),
    "name with a space": (("name",), "Pixel 8", "name: 'Pixel 8': use lower-case letters"),
    "name is a number": (("name",), 8, "name: 8: write text"),
    "unknown system": (("os", "name"), "adroid", "os.name: 'adroid': did you mean 'android'?"),
    "system is a word": (("os",), "linux", "os: 'linux': write a mapping with keys of"),
    "floor is a word": (
        ("os", "floor"),
        {"value": "x", "source": "a.b"},
        "os.floor.value: 'x': write a number",
    ),
    "floor without end": (("os", "floor"), {"value": float("inf"), "source": "a.b"}, "write a finite number"),
    "unknown confidence": (("ram", "confidence"), "recalled", "ram.confidence: 'recalled'"),
    "bandwidth is no rate": (
        ("memory_bandwidth",),
        {"value": "17GB", "source": "zephyr"},
        "write a rate such as 51.2GB/s",
    ),
    "negative loss": (("budgets", "max_loss", "value"), -1, "write a number above 0"),
    "sources are a list": (("sources",), ["a"], "sources: must map short names to citations"),
    "alias is a number": (("aliases",), [3], "aliases[0]: 3: write text"),
    "aliases are a word": (("aliases",), "pi", "aliases: 'pi': write a list"),
    "python's name of a key": (
        ("schema_version",),
        1,
        "schema_version: is an unknown key: did you mean 'schema'?",
    ),
}


def refusal(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput) as caught:
        validate_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and caught.value.exit_code == 2
    return message


@pytest.mark.parametrize("case", TEXTS)
def test_bad_yaml(case, tmp_path):
    content, expected = TEXTS[case]
    assert expected in refusal(tmp_path / "phone.yaml", content)


@pytest.mark.parametrize("case", CHANGES)
def test_bad_content(case, tmp_path):
    (*steps, last), value, expected = CHANGES[case]
    data = copy.deepcopy(yaml.safe_load(GOOD))
    holder = data
    for step in steps:
        holder = holder[step]
    if value is None:
        del holder[last]
    else:
        holder[last] = value
    assert expected in refusal(tmp_path / "phone.yaml", yaml.safe_dump(data))


def test_the_unchanged_file_is_good(tmp_path):
    path = tmp_path / "phone.yml"
    path.write_text(yaml.safe_dump(yaml.safe_load(GOOD)))
    assert find_device(path) == find_device(str(path)) == find_device("raspberrypi5")


@pytest.mark.parametrize("path", ["absent.yaml", "nul\0.yaml", "x" * 5000 + ".yaml"])
def test_a_file_that_cannot_be_read(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="cannot be read"):
        find_device(path)


def test_a_directory_is_not_a_profile(tmp_path):
    with pytest.raises(BadInput, match="is a directory"):
        validate_file(tmp_path)
