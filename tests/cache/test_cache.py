"""The cache's promises: an entry is whole or absent, made once, not trusted when damaged, and its loss only costs time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.cache import Cache, cache_limit, code_digest, key_of
from sdk.cache.locks import locked
from sdk.errors import BadInput


def save(value: dict[str, str], folder: Path) -> None:
    for name, text in value.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def load(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "seal.json")
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def fetch(cache: Cache, key: str, value: dict[str, str]) -> tuple[dict[str, str], bool]:
    """What the cache returns, and whether it had to be made."""
    made = []

    def make() -> dict[str, str]:
        made.append(1)
        return value

    return cache.fetch("things", key, load=load, make=make, save=save), bool(made)


VALUE = {"one.txt": "1" * 1000, "folder/two.txt": "2" * 1000}


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    assert fetch(Cache(tmp_path), "k", VALUE) == (VALUE, True)
    assert fetch(Cache(tmp_path), "k", {}) == (VALUE, False)
    assert fetch(Cache(tmp_path), "other", {"x": ""})[1]


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "add", "link", "seal", "no seal", "empty"])
def test_a_damaged_entry_is_made_again(damage: str, tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    fetch(cache, "k", VALUE)
    entry = tmp_path / "things" / "k"
    file = entry / "folder" / "two.txt"
    if damage == "flip":
        file.write_text("3" + file.read_text()[1:])
    elif damage == "truncate":
        file.write_text("")
    elif damage == "remove":
        file.unlink()
    elif damage == "add":
        (entry / "three.txt").write_text("")
    elif damage == "link":
        (tmp_path / "aside").write_text(file.read_text())
        file.unlink()
        file.symlink_to(tmp_path / "aside")
    elif damage == "seal":
        (entry / "seal.json").write_text("[]")
    elif damage == "no seal":
        (entry / "seal.json").unlink()
    else:
        (entry / "seal.json").write_text("")
    assert fetch(cache, "k", VALUE) == (VALUE, True)
    assert fetch(cache, "k", {}) == (VALUE, False)


def test_what_load_cannot_read_is_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    fetch(cache, "k", VALUE)

    def other_layout(folder: Path) -> dict[str, str]:
        raise KeyError("sites")

    assert cache.fetch("things", "k", load=other_layout, make=lambda: {"new": ""}, save=save) == {"new": ""}
    assert cache.read("things", "k", load) == {"new": ""}


def test_a_failed_make_leaves_nothing(tmp_path: Path) -> None:
    def make() -> dict[str, str]:
        raise BadInput("no")

    with pytest.raises(BadInput):
        Cache(tmp_path).fetch("things", "k", load=load, make=make, save=save)
    assert fetch(Cache(tmp_path), "k", VALUE)[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locks", "things"]


def test_an_unwritable_place_only_costs_time(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")  # no folder can be made below a file, whoever asks
    cache = Cache(place / "cache")
    assert fetch(cache, "k", VALUE) == (VALUE, True)
    assert fetch(cache, "k", VALUE) == (VALUE, True)
    assert cache.usage() == () and cache.clear() == 0


def test_the_least_recently_used_entries_are_evicted(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=7000)
    for number, key in enumerate(("a", "b", "c")):
        fetch(cache, key, VALUE)
        os.utime(tmp_path / "things" / key / "seal.json", (number, number))
    assert not fetch(cache, "a", {})[1], "used now"
    fetch(cache, "d", VALUE)
    assert sorted(path.name for path in (tmp_path / "things").iterdir()) == ["a", "c", "d"]
    (usage,) = cache.usage()
    assert usage.entries == 3 and usage.bytes <= 7000
    assert cache.clear() == usage.bytes and cache.usage() == ()


def test_an_entry_in_use_is_not_evicted(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    fetch(cache, "a", VALUE)
    fetch(cache, "b", VALUE)
    with locked(tmp_path / "locks" / "things-a", shared=True):
        cache.clear()
    assert not fetch(cache, "a", {})[1]
    assert fetch(cache, "b", {})[1]


def test_threads_make_an_entry_once(tmp_path: Path) -> None:
    made = []

    def make() -> dict[str, str]:
        made.append(1)
        time.sleep(0.1)
        return VALUE

    def work() -> None:
        assert Cache(tmp_path).fetch("things", "k", load=load, make=make, save=save) == VALUE

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


WORKER = """
import json, os, sys, time
from pathlib import Path
from sdk.cache import Cache
sys.path.insert(0, {tests!r})
from test_cache import load, save

folder, log, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for step in range(60):
    key = f"k{{(step * 7 + seed) % 20}}"
    value = {{"a": key * 2000, "b/c": key[::-1] * 3000}}
    def make():
        with open(log, "a") as file:
            file.write(f"{{key}}\\n")
        return value
    assert Cache(folder).fetch("things", key, load=load, make=make, save=save) == value
    grow = lambda old: {{"n": str(int((old or {{"n": "0"}})["n"]) + 1)}}
    Cache(folder).change("sums", "total", load=load, save=save, grow=grow)
print("done")
"""


def workers(tmp_path: Path, count: int) -> list[subprocess.Popen[str]]:
    code = WORKER.format(tests=str(Path(__file__).parent))
    args = [str(tmp_path / "cache"), str(tmp_path / "log")]
    return [
        subprocess.Popen([sys.executable, "-c", code, *args, str(seed)], stdout=subprocess.PIPE, text=True)
        for seed in range(count)
    ]


def test_eight_processes_on_one_cache_corrupt_nothing_and_make_nothing_twice(tmp_path: Path) -> None:
    running = workers(tmp_path, 8)
    assert [process.communicate()[0] for process in running] == ["done\n"] * 8
    made = (tmp_path / "log").read_text().split()
    assert len(made) == len(set(made)) == 20
    total = Cache(tmp_path / "cache").read("sums", "total", load)
    assert total == {"n": str(8 * 60)}, "no change was lost"


def test_killed_processes_leave_whole_entries_or_none(tmp_path: Path) -> None:
    for round_ in range(4):
        running = workers(tmp_path, 3)
        time.sleep(0.35 + 0.05 * round_)
        for process in running:
            process.send_signal(signal.SIGKILL)
            process.wait()
    (last,) = workers(tmp_path, 1)
    assert last.communicate()[0] == "done\n"
    Cache(tmp_path / "cache").clear()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.parent.name != "locks"]


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda each: st.lists(each, max_size=3), max_leaves=6),
       st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda each: st.lists(each, max_size=3), max_leaves=6))
def test_equal_parts_alone_have_equal_keys(one: object, other: object) -> None:
    assert (key_of(one) == key_of(other)) == (json.dumps(one) == json.dumps(other))


def test_an_edit_of_the_code_is_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "package_of_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "table.yaml").write_text("a: 1")
    before = code_digest("package_of_test")
    (package / "table.yaml").write_text("a: 2")
    assert code_digest("package_of_test") == before, "one process runs the code that it imported"
    code_digest.cache_clear()
    assert code_digest("package_of_test") != before


def test_the_limit_is_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDK_CACHE_MAX", "2GB")
    assert cache_limit() == 2_000_000_000
    monkeypatch.setenv("SDK_CACHE_MAX", "lots")
    with pytest.raises(BadInput, match=r"SDK_CACHE_MAX: size 'lots'"):
        cache_limit()
