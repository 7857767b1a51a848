"""The example in the docs is a valid profile."""

from pathlib import Path

from sdk.devices import find_device

PAGE = Path(__file__).parents[2] / "docs" / "devices.md"


def test_the_example_validates(tmp_path):
    example = PAGE.read_text("utf-8").split("```yaml\n")[1].split("```")[0]
    file = tmp_path / "fairphone5.yaml"
    file.write_text(example)
    assert find_device(file).families("tflite") == {"fp32", "int8_dynamic", "int8_static"}
