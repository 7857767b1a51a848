"""The device called `host`: what this machine says of itself, and what it does not say is absent."""

import psutil
import pytest

from sdk.devices import find_device, probe

PI = "processor : 0\nBogoMIPS : 108.00\nFeatures : fp asimd aes fphp asimdhp asimddp lrcpc\n\n"
XEON = "model name\t: Some CPU @ 2GHz\nflags\t\t: fpu sse4_2 avx avx2 fma f16c avx512f avx512_vnni amx_int8\n"


def test_the_host_is_probed():
    host = find_device("host")
    assert host.ram.value == psutil.virtual_memory().total
    assert sum(cluster.count.value for cluster in host.soc.clusters) >= 1
    for path, fact in host.facts():
        if not path.startswith("accelerators"):
            assert fact.confidence == "probed" and fact.source.startswith("probed: "), path
    assert host.targets == ("tflite", "executorch", "coreml")


@pytest.mark.parametrize(
    ("text", "core", "isa"),
    [
        (PI, None, ["neon", "fp16", "dotprod"]),
        (
            XEON,
            "Some CPU @ 2GHz",
            ["sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "amx_int8"],
        ),
        ("", None, None),
    ],
)
def test_flags_become_our_words(text, core, isa, tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    monkeypatch.setattr(probe, "_CPUINFO", file)
    monkeypatch.setattr(probe.platform, "system", lambda: "Linux")
    cluster = probe.probe_host().soc.clusters[0]
    assert core in (None, cluster.core)
    assert (list(cluster.isa.value) if cluster.isa else None) == isa


def test_a_group_limit_is_what_an_app_may_use(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    limit.write_text("536870912\n")
    monkeypatch.setattr(probe, "_CGROUP_LIMITS", (tmp_path / "absent", limit))
    assert probe.probe_host().app_memory.value == 512 * 2**20
    limit.write_text("max\n")
    assert probe.probe_host().app_memory.value == psutil.virtual_memory().total


def test_a_mac_answers_through_sysctl(monkeypatch):
    answers = {
        "machdep.cpu.brand_string": "Apple M4",
        "hw.optional.arm.FEAT_I8MM": "1",
        "hw.optional.AdvSIMD": "1",
    }
    monkeypatch.setattr(probe.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(probe, "_sysctl", lambda key: answers.get(key, ""))
    host = probe.probe_host()
    assert (host.os.name, host.soc.name.value) == ("macos", "Apple M4")
    assert host.soc.clusters[0].isa.value == ("neon", "i8mm")
