"""Stories of the whole engine; the failing test names its seed."""

import re
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from billing.embedded.servers import EmbeddedPostgres
from billing.gateway.stripe.client import Answer, Client
from tests.conftest import Admin
from tests.repeatable import SEED
from tests.shares import SHARE, WHOLE
from tests.simulation.catalog import COUPONS, PRODUCTS
from tests.simulation.coverage import KINDS
from tests.simulation.drawing import WEIGHTS, drawn
from tests.simulation.events import Event
from tests.simulation.schedule import Chances
from tests.simulation.shrink import shrunk
from tests.simulation.simulation import Servers, Simulation, Size, size_of, told

# Each commit tells stories of its own until so many cycles are billed; all are eight times as many.
# The step of a line's numbers lets stories of each size come in it.
STORIES = SEED if WHOLE else f"{SEED}.{SHARE}"
CYCLES = 400 if WHOLE else 150
# Of the kinds of things that are counted, so many may never happen: in all stories, none.
NEVER = 0 if WHOLE else len(KINDS) // 5
MOST = 10 * CYCLES
LINES, STEP = (5, 5) if WHOLE else (1, 3)


@pytest.fixture
def servers(pg_server: EmbeddedPostgres, admin: Admin, template_db: str, tmp_path: Path) -> Servers:
    return Servers(pg_server.url, admin, template_db, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(LINES))
def test_whatever_goes_wrong_engine_provider_and_model_agree(servers: Servers, first: int) -> None:
    cycles, came = 0, Counter[str]()
    for number in count(first, STEP):
        story = told(f"{STORIES}.{number}", servers, size_of(number))
        trace = "\n".join(story.trace[-80:])
        assert not story.findings, (
            "\n".join(story.findings)
            + f"\n{trace}\nmake simulate SIMULATE='--seed {STORIES} --first {number} --cycles 1'"
        )
        assert story.cycles > 0
        cycles += story.cycles
        came.update(story.came)
        never = [kind for kind in KINDS if not came[kind]]
        if cycles >= CYCLES and (first > 0 or len(never) <= NEVER):
            return
        assert cycles < MOST, f"never happened in {cycles} cycles: {never}"


def story_of(number: int) -> list[Event]:
    size = size_of(number)
    return drawn(
        f"drawn {number}",
        customers=size.customers,
        days=size.days,
        asks=size.asks,
        scenes=size.scenes,
    )


def test_stories_have_each_kind_of_event() -> None:
    stories = range(24)
    events = [each for number in stories for each in story_of(number)]
    assert {each.kind for each in events} >= {
        *WEIGHTS,
        "subscribe",
        "usage",
        "tax facts",
        "backup",
        "restore",
    }
    assert {each.coupon for each in events} >= {*COUPONS}
    assert {each.plan for each in events} >= {*PRODUCTS}


def test_a_seed_tells_one_story(servers: Servers) -> None:
    size = Size(customers=3, days=30, asks=8)
    first, second = (told("repeated", servers, size) for _ in range(2))
    assert first.trace == second.trace
    assert first.points == second.points


def test_a_charge_that_is_repeated_under_another_key_is_found(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Client._send

    def without_key(client: Client, *given: Any, key: str | None = None) -> Answer:
        charges = given[0] in ("create_and_confirm", "confirm")
        return send(client, *given, key=f"{key}-{next(numbers)}" if charges else key)

    numbers = count()
    monkeypatch.setattr(Client, "_send", without_key)
    losing = Chances(faults={"reset_after_commit": 0.3})
    size = Size(customers=3, days=20, asks=0)
    findings: list[str] = []
    for number in range(5):
        seed = f"{SEED}.planted.{number}"
        with Simulation(seed, servers, size=size, chances=losing) as simulation:
            findings = simulation.tell().findings
        if any("at the provider" in finding for finding in findings):
            break
    assert any("at the provider" in finding for finding in findings), findings


def test_a_process_that_crashes_is_a_finding_that_is_made_shorter(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise ValueError("of 17 cents")

    monkeypatch.setattr("billing.flows.payments.outcomes.captured", crash)
    size = Size(customers=1, days=5, asks=2)
    stories = (told(f"crashes {number}", servers, size) for number in count())
    story = next(each for each in stories if each.findings)  # not every story captures
    (finding,) = story.findings
    where = r"\[step \d+, (event \d+ \(.*\)|at the end), .*\]"
    assert re.fullmatch(rf"worker \d crashes by ValueError: of 17 cents {where}", finding)
    assert any("in crash" in line for line in story.trace)

    shorter = shrunk(story, servers, size)
    assert shorter is not None
    assert {each.kind for each in shorter.events} <= {"subscribe", "tax facts"}


def test_what_a_judge_cannot_judge_is_a_finding_and_the_others_go_on(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: Any) -> None:
        raise KeyError("nothing")

    monkeypatch.setattr("tests.simulation.verdict._sums", nothing)
    monkeypatch.setattr("tests.simulation.verdict._breaks", lambda _: ["a break"])
    story = told("judged", servers, Size(customers=1, days=5, asks=0))
    assert story.findings == ["the story ends by KeyError: 'nothing' [the end]", "a break"]
