"""The choice of variants: exact over every plan that exists, and honest about what cannot be served."""

import itertools
import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.devices import find_device
from sdk.devices.profile import Accelerator, Fact, OperatingSystem, Soc
from sdk.errors import BudgetError
from sdk.lowering import Capability
from sdk.planning import Choices, Infeasible, Limits, Option, Problem
from sdk.progress import SilentReporter
from sdk.release.fleet import Chooser, Member
from sdk.release.fleet.candidates import family_of

SCHEMES = {"int4_g32": "int4", "int8_channel": "int8", "lut4": "lut"}


@dataclass(frozen=True)
class Paper:
    """A target on paper: `newest` is the OS version that its table tells apart, if any."""

    name: str
    newest: float | None = None
    fallback: str = "fp32"
    lossless: str = "fp32"

    def capabilities(self):
        return (Capability(("linear",), "int4_g32", True, min_os=self.newest),)


PLAIN, VERSIONED = Paper("plain"), Paper("versioned", 18.0)


def problems(target, min_os):
    """Three layers; `versioned` holds palettes from OS 18 only, and is a little smaller."""
    cut = 0.9 if target.name == "versioned" else 1.0
    options = {"int4_g32": (100, 0.09), "int8_channel": (200, 0.01), "fp32": (800, 0.0)}
    if target.name == "versioned" and min_os == 18.0:
        options["lut4"] = (110, 0.03)
    choices = []
    for number in range(3):
        made = [Option(name, int(size * cut * 2**number), loss / 3**number) for name, (size, loss) in options.items()]
        choices.append(Choices(f"layer{number}", "linear", tuple(sorted(made, key=lambda o: (o.bytes, o.loss)))))
    return Problem(50, tuple(choices))



def device(name, *, targets, families, size=None, loss=None, floor=None, ram=8, soc="Chip 1", share=1.0, system="android"):
    """A member: `families` by target (None: the profile says nothing of it)."""
    known = find_device("pixel8")
    fact = lambda value: Fact(value=value, source="a.test/page")  # noqa: E731
    profile = known.model_copy(
        update={
            "name": name,
            "os": OperatingSystem(name=system, floor=fact(floor) if floor else None),
            "ram": fact(ram * 2**30),
            "app_memory": None,
            "soc": Soc(name=fact(soc)),
            "accelerators": (Accelerator(kind="cpu", targets={t: fact(f) for t, f in families.items() if f is not None}),),
        }
    )
    return Member(
        spelling=name, profile=profile, group=name, share=share, limits=Limits(size, loss),
        objective="quality" if size is not None else "smallest", targets={t.name: t for t in targets},
    )  # fmt: skip

FAMILIES = tuple(SCHEMES.values())
LISTED = (None, FAMILIES, ("int8",), ("int4", "int8"), ("int4", "lut"))
"""What a profile may say of a target's scheme families."""


@st.composite
def fleets(draw):
    """Two to four devices with one or both targets, families, OS floors and size limits of their own."""
    members = []
    for number in range(draw(st.integers(2, 4))):
        targets = draw(st.sampled_from([(PLAIN,), (VERSIONED,), (PLAIN, VERSIONED)]))
        families = {t.name: draw(st.sampled_from(LISTED)) for t in targets}
        members.append(
            device(
                f"d{number}", targets=targets, families=families, soc=f"Chip {number}",
                size=draw(st.sampled_from([900, 1500, 2500, 6000])), floor=draw(st.sampled_from([16.0, 18.0])),
                share=draw(st.sampled_from([0.1, 0.3, 0.6])),
            )
        )  # fmt: skip
    return members


def every_plan(members, problems):
    """(target, floor, families needed, bytes, loss) of every plan of every target at every floor."""
    for target in {t.name: t for member in members for t in member.targets.values()}.values():
        for floor in {member.floor(target) for member in members if target.name in member.targets}:
            problem = problems(target, floor)
            for picks in itertools.product(*(choices.options for choices in problem.choices)):
                needed = {family_of(option.scheme, target) for option in picks} - {""}
                yield target, floor, needed, problem.base + sum(o.bytes for o in picks), math.fsum(o.loss for o in picks)


def table(members, problems):
    """Per plan, what it loses for each device that can have it; plans that others beat everywhere are left out."""
    rows = set()
    for target, floor, needed, size, loss in every_plan(members, problems):
        row = tuple(
            member.share * loss
            if target.name in member.targets
            and needed <= member.families(target.name)
            and (floor is None or member.floor(target) >= floor)
            and size <= member.limits.max_size
            else math.inf
            for member in members
        )
        rows.add(row)
    return [row for row in rows if not any(o != row and all(a <= b for a, b in zip(o, row, strict=True)) for o in rows)]


@settings(max_examples=60, deadline=None)
@given(fleets(), st.integers(1, 3))
def test_nothing_beats_the_chosen_variants_of_all_plans_that_exist(members, most):
    """With sizes as budgets and free bytes, the choice is the best of all sets of plans, candidates or not."""
    plans = table(members, problems)
    best = min(
        math.fsum(min(column) for column in zip(*chosen, strict=True))
        for count in range(1, most + 1)
        for chosen in itertools.combinations(plans, count)
    ) if plans else math.inf  # fmt: skip
    chooser = Chooser(members, problems, 0.0, SilentReporter())
    if best == math.inf:
        with pytest.raises(BudgetError):
            chooser.choose(most)
        return
    choice = chooser.choose(most)
    assert len(choice.variants) <= most
    got = math.fsum(member.share * variant.candidate.loss for variant in choice.variants for member in variant.members)
    assert got == pytest.approx(best, rel=1e-9, abs=1e-12)
    assert sorted(member.name for variant in choice.variants for member in variant.members) == [m.name for m in members]
    for variant in choice.variants:
        assert all(variant.candidate.serves(member) for member in variant.members)


def two(**more):
    families = {"plain": FAMILIES}
    return [
        device("small", targets=(PLAIN,), families=families, size=900, share=0.5, **more),
        device("large", targets=(PLAIN,), families=families, size=6000, share=0.5, soc="Chip 2"),
    ]


def test_bytes_are_worth_what_the_rate_says():
    free = Chooser(two(), problems, 0.0, SilentReporter()).choose(2)
    assert [variant.candidate.bytes for variant in free.variants] == [850, 5650]
    dear = Chooser(two(), problems, 1.0, SilentReporter()).choose(2)
    assert [variant.candidate.bytes for variant in dear.variants] == [850], "no loss is worth the large file's bytes"


def test_steps_say_what_each_variant_buys():
    one, two_ = Chooser(two(), problems, 0.0, SilentReporter()).choose(1).steps
    assert (one.variants, one.total_bytes, two_.variants, two_.total_bytes) == (1, 850, 2, 6500)
    assert two_.price == pytest.approx(one.price / 2)
    assert two_.bytes == pytest.approx((850 + 5650) / 2)


def test_too_few_variants_say_how_many_are_needed():
    members = [
        device("one", targets=(PLAIN,), families={"plain": FAMILIES}, size=6000),
        device("other", targets=(VERSIONED,), families={"versioned": FAMILIES}, size=6000, floor=16.0, soc="Chip 2"),
    ]
    with pytest.raises(BudgetError, match="max_variants 1 cannot serve all 2 devices: 2 can"):
        Chooser(members, problems, 0.0, SilentReporter()).choose(1)


def test_a_device_that_nothing_fits_is_named_with_its_counter_offer():
    tiny = device("tiny", targets=(PLAIN, VERSIONED), families={"plain": ("int4",)}, size=300, floor=16.0, soc="Chip 3")
    members = [*two(), tiny]
    with pytest.raises(Infeasible, match=r"device tiny: nothing fits; with versioned, max_size 300 B .* smallest") as caught:
        Chooser(members, problems, 0.0, SilentReporter()).choose(4)
    assert caught.value.offer.missing_bytes == 50 + 90 + 180 + 360 - 300


def test_devices_that_look_alike_share_a_variant():
    alike = two(soc="Chip 2")
    choice = Chooser(alike, problems, 0.0, SilentReporter()).choose(2)
    assert [variant.candidate.bytes for variant in choice.variants] == [850]


def test_an_older_os_is_served_by_a_variant_of_its_own():
    families = {"versioned": FAMILIES}
    members = [
        device(f"ios{floor:g}", targets=(VERSIONED,), families=families, size=900, floor=floor, soc=f"A{floor:g}", share=0.5)
        for floor in (16.0, 18.0)
    ]
    choice = Chooser(members, problems, 0.0, SilentReporter()).choose(2)
    floors = {variant.candidate.wish.min_os: [m.name for m in variant.members] for variant in choice.variants}
    assert floors == {16.0: ["ios16"], 18.0: ["ios18"]}
    assert "lut" in next(v.candidate.families for v in choice.variants if v.candidate.wish.min_os == 18.0)


def test_bytes_found_too_many_are_kept_free():
    chooser = Chooser(two(), problems, 0.0, SilentReporter())
    assert min(v.candidate.bytes for v in chooser.choose(2, {"plain": 40}).variants) <= 900
    with pytest.raises(Infeasible):
        chooser.choose(2, {"plain": 400})
