"""The contract of every shipped profile, found by discovery: no number without a source."""

import re
from importlib.resources import files

import pytest
import yaml

from sdk.devices import find_device, list_devices, validate_file
from sdk.devices.profile import POLICY, DeviceProfile

FILES = sorted(
    (
        file
        for vendor in files("device_profiles").iterdir()
        if vendor.is_dir()
        for file in vendor.iterdir()
        if file.name.endswith(".yaml")
    ),
    key=str,
)
REQUIRED = {
    "google": ["pixel6", "pixel7", "pixel8", "pixel8pro", "pixel9"],
    "samsung": ["galaxy_s23", "galaxy_s24", "galaxy_a54"],
    "oneplus": ["oneplus12"],
    "apple": ["iphone13", "iphone14pro", "iphone15pro", "iphone16", "ipad_m4"],
    "raspberrypi": ["raspberrypi5"],
    "host": ["host"],
}
COREML_FLOORS = {"iphone13": 16, "iphone14pro": 16, "iphone15pro": 17, "iphone16": 18, "ipad_m4": 17}
ORDER = {
    "android": ("tflite", "executorch"),
    "ios": ("coreml", "executorch"),
    "ipados": ("coreml", "executorch"),
    "linux": ("tflite", "executorch"),
}

every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
every_profile = pytest.mark.parametrize("profile", list_devices(), ids=lambda profile: profile.name)


def numbers(node, path="", inside=None):
    """Yield (path, mapping that holds it) of every number in raw YAML."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from numbers(value, f"{path}.{key}", node)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from numbers(value, f"{path}[{index}]", inside)
    elif isinstance(node, int | float):
        yield path, inside


def test_the_promised_devices_are_there():
    shipped = {(profile.vendor, profile.name) for profile in list_devices()}
    assert {(vendor, name) for vendor, names in REQUIRED.items() for name in names} <= shipped


@every_file
def test_every_number_in_the_file_has_its_source(file):
    raw = yaml.safe_load(file.read_text("utf-8"))
    found = [(path, holder) for path, holder in numbers(raw) if path != ".schema"]
    assert found
    for path, holder in found:
        assert holder.get("source"), path


@every_file
def test_every_citation_is_used_and_nothing_is_recalled(file):
    text = file.read_text("utf-8")
    raw = yaml.safe_load(text)
    cited = set(re.findall(r"source: (\w+)", text))
    assert set(raw["sources"]) <= cited, "a citation that nothing uses"
    assert not re.search(r"recalled|look it up|todo|https?://", text, re.IGNORECASE)


@every_file
def test_the_file_validates_by_path_and_equals_the_shipped_profile(file):
    profile = validate_file(str(file))
    assert profile == find_device(profile.name)


@every_profile
def test_facts_are_placed_and_policies_reasoned(profile):
    facts = dict(profile.facts())
    assert {"ram", "app_memory", "soc.name"} <= set(facts)
    for path, fact in facts.items():
        assert fact.source.strip(), path
        if fact.source == POLICY:
            assert len(fact.why.split()) >= 4, path
    assert profile.app_memory.why and profile.app_memory.value <= profile.ram.value


@every_profile
def test_clusters_go_from_fast_to_slow(profile):
    clocks = [cluster.mhz.value for cluster in profile.soc.clusters if cluster.mhz]
    assert clocks == sorted(clocks, reverse=True)


@every_profile
def test_auto_targets_run_somewhere_and_in_the_usual_order(profile):
    for target in profile.targets:
        assert {"fp32", "fp16"} & profile.families(target)
    if profile.name != "host":
        assert profile.targets == ORDER[profile.os.name]
        assert profile.budgets.max_size.value <= profile.app_memory.value
        assert profile.budgets.max_loss.value < 1


@every_profile
def test_a_profile_survives_a_round_trip(profile):
    assert DeviceProfile.model_validate(profile.model_dump()) == profile
    assert DeviceProfile.model_validate_json(profile.model_dump_json(by_alias=True)) == profile


@pytest.mark.parametrize(("name", "floor"), COREML_FLOORS.items())
def test_floors_of_core_ml_are_policies(name, floor):
    fact = find_device(name).os.floor
    assert (fact.value, fact.source) == (floor, POLICY)
    assert "--min-os" in fact.why or floor == 18


@pytest.mark.parametrize("name", REQUIRED["google"])
def test_a_pixel_promises_nothing_of_its_tpu(name):
    profile = find_device(name)
    npu = next(each for each in profile.accelerators if each.kind == "npu")
    assert npu.targets == {} and "no public path" in npu.note
    assert [each.kind for each in profile.accelerators] == ["cpu", "gpu", "npu"]


def test_int8_is_accelerated_on_the_neural_engine_from_the_a17_pro():
    def neural(name):
        npu = next(each for each in find_device(name).accelerators if each.kind == "npu")
        return npu.targets["coreml"].value

    assert all("int8_static" in neural(name) for name in ("iphone15pro", "iphone16", "ipad_m4"))
    assert not any("int8_static" in neural(name) for name in ("iphone13", "iphone14pro"))
