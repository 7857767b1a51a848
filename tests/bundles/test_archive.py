"""A zipped bundle is unpacked, and one that leads out of its folder is refused before anything is written."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from sdk.bundles import bundle_folder
from sdk.errors import CheckFailed


def made(path: Path, *entries: tuple[str, bytes], mode: int = 0, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, compression
            info.external_attr = mode << 16
            archive.writestr(info, data)
    return path


WRONG = {
    "traversal": ("../evil", 0),
    "traversal inside": ("model/../../evil", 0),
    "an absolute name": ("/etc/evil", 0),
    "a drive": ("C:/evil", 0),
    "backslashes": ("..\\evil", 0),
    "a symbolic link": ("model.bin", stat.S_IFLNK | 0o777),
    "a device": ("model.bin", stat.S_IFCHR | 0o600),
    "a pipe": ("model.bin", stat.S_IFIFO | 0o600),
    "a name with a line break": ("model\n.bin", 0),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_leads_elsewhere_is_refused(what: str, tmp_path: Path) -> None:
    name, mode = WRONG[what]
    archive = made(tmp_path / "bundle.zip", ("manifest.json", b"{}"), (name, b"/etc/passwd"), mode=mode)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(CheckFailed, match=r"bundle.zip: entry .*nothing was unpacked"), bundle_folder(archive):
        pass
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["model.bin", "MODEL.BIN", "model.bin/"])
def test_an_entry_that_comes_twice_is_refused(second: str, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="there twice"), bundle_folder(
        made(tmp_path / "b.zip", ("model.bin", b"1"), (second, b""))
    ):  # fmt: skip
        pass


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    zeros = bytes(80 * 2**20)
    bomb = made(tmp_path / "b.zip", ("model.bin", zeros), compression=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 2**20
    with pytest.raises(CheckFailed, match="would grow"), bundle_folder(bomb):
        pass


def test_a_damaged_archive_is_one_sentence(tmp_path: Path) -> None:
    archive = made(tmp_path / "b.zip", ("model.bin", b"0123456789"))
    archive.write_bytes(archive.read_bytes().replace(b"0123456789", b"0123456780"))
    with pytest.raises(CheckFailed, match=r"b.zip: cannot be unpacked"), bundle_folder(archive):
        pass


@pytest.mark.parametrize("prefix", ["", "net-pixel8/"])
def test_a_good_archive_is_there_for_the_time_being(prefix: str, tmp_path: Path) -> None:
    archive = made(tmp_path / "b.zip", (f"{prefix}manifest.json", b"{}"), (f"{prefix}model.mlpackage/Data/w", b"12"))
    with bundle_folder(archive) as folder:
        assert (folder / "manifest.json").read_bytes() == b"{}"
        assert (folder / "model.mlpackage" / "Data" / "w").read_bytes() == b"12"
    assert not folder.exists()


def test_a_directory_is_taken_as_it_is(tmp_path: Path) -> None:
    with bundle_folder(tmp_path) as folder:
        assert folder == tmp_path
