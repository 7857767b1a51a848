"""How a check measures: the protocols by name, as data."""

from __future__ import annotations

from dataclasses import dataclass

from sdk.errors import BadInput


@dataclass(frozen=True, slots=True)
class Protocol:
    """One way to measure, in fresh processes.

    Each of `repeats` loads the artifact, runs it once, `warmup` times, and then until `runs` runs and `seconds` are
    over; `cooldown` seconds lie between repeats. `deadline` (seconds) ends a repeat that takes longer. `drift` asks for
    the throttling ratio, `leaks` for the slope of resident memory.
    """

    name: str
    warmup: int
    runs: int
    seconds: float
    repeats: int
    cooldown: float
    deadline: float
    drift: bool = False
    leaks: bool = False


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("quick", warmup=5, runs=50, seconds=0, repeats=3, cooldown=0, deadline=120),
        Protocol("full", warmup=10, runs=1024, seconds=60, repeats=5, cooldown=30, deadline=600),
        Protocol("sustained", warmup=0, runs=1, seconds=600, repeats=1, cooldown=0, deadline=900, drift=True),
        Protocol("soak", warmup=10, runs=10_000, seconds=0, repeats=1, cooldown=0, deadline=3600, leaks=True),
    )
}
"""`full` follows MLPerf Mobile: p90 over at least 1,024 runs and 60 seconds, cool-down, repeats within 5 %."""


def protocol_named(name: str) -> Protocol:
    """Return the protocol called `name`; BadInput lists the known ones."""
    if name not in PROTOCOLS:
        raise BadInput(f"no protocol is called {name[:40]!r}: use {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
