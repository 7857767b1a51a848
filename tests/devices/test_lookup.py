"""Names are forgiving, wrong ones get the nearest, and looking loads no toolchain."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.devices import DeviceProfile, family, find_device, list_devices
from sdk.errors import BadInput
from sdk.schemes import all_schemes

SHIPPED = [profile for profile in list_devices() if profile.name != "host"]
HEAVY = (
    "torch",
    "numpy",
    "scipy",
    "executorch",
    "coremltools",
    "ai_edge_litert",
    "litert_torch",
    "transformers",
)


@pytest.mark.parametrize(
    "typed",
    ["pixel8", "Pixel 8", "pixel-8", "PIXEL8", "google/pixel8", "Google Pixel 8", "  pixel_8 ", "shiba"],
)
def test_names_are_forgiving(typed):
    assert find_device(typed).name == "pixel8"


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("iPhone 15 Pro", "iphone15pro"),
        ("iPad Pro (M4)", "ipad_m4"),
        ("Galaxy S23", "galaxy_s23"),
        ("OnePlus 12", "oneplus12"),
        ("Raspberry Pi 5", "raspberrypi5"),
        ("rpi5", "raspberrypi5"),
        ("HOST", "host"),
    ],
)
def test_people_write_titles(typed, name):
    assert find_device(typed).name == name


@given(st.sampled_from(SHIPPED), st.data())
def test_case_and_separators_do_not_count(profile, data):
    spelling = data.draw(
        st.sampled_from([profile.name, profile.title, f"{profile.vendor}/{profile.name}", *profile.aliases])
    )
    letters = [letter for letter in spelling if letter.isalnum()]
    cased = [letter.upper() if data.draw(st.booleans()) else letter for letter in letters]
    gaps = st.sampled_from(["", " ", "-", "_"])
    typed = "".join(letter + data.draw(gaps) for letter in cased)
    assert find_device(typed) is find_device(profile.name)


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [("pixle8", "pixel8"), ("iphone 15", "iphone15pro"), ("raspbery pi", "raspberrypi5"), ("hots", "host")],
)
def test_a_wrong_name_gets_the_nearest(typed, nearest):
    with pytest.raises(BadInput, match=f"`{nearest}` is the nearest"):
        find_device(typed)


@given(st.text(max_size=40))
def test_any_other_text_is_refused_in_one_line(text):
    try:
        assert isinstance(find_device(text), DeviceProfile)
    except BadInput as error:
        assert str(error).isprintable()


def test_a_file_beside_does_not_hide_a_shipped_device(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pixel8").write_text("not a profile")
    assert find_device("pixel8").vendor == "google"


def test_the_list_is_sorted_and_ends_with_this_machine():
    devices = list_devices()
    assert [(each.vendor, each.name) for each in devices[:-1]] == sorted(
        (each.vendor, each.name) for each in SHIPPED
    )
    assert devices[-1].name == "host"


def test_profiles_say_nothing_of_targets_that_they_do_not_list():
    assert find_device("pixel8").families("coreml") is None
    assert find_device("iphone13").families("tflite") is None


def test_every_scheme_has_a_family_that_profiles_speak_of():
    pairs = [(profile, target) for profile in SHIPPED for target in profile.targets]
    spoken = {name for profile, target in pairs for name in profile.families(target)}
    named = {family(scheme.format, scheme.bits, scheme.activations) for scheme in all_schemes().values()}
    assert named <= spoken


def test_looking_devices_up_loads_no_toolchain():
    code = (
        "import sys; from sdk.devices import list_devices, find_device; list_devices(); find_device('host');"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
