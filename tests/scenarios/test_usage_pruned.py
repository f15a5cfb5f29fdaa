"""Old days of usage are sealed and taken out, and the proof still counts everything again."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from billing.errors import BadInput
from billing.flows.prove import examine
from billing.flows.usage import days, pruning
from billing.flows.usage.pruning import Pruning
from billing.rules.actor import Actor, ActorKind
from billing.rules.usage import UsageNumber
from billing.store.engine import make_engine
from tests.scenarios.metering import CATALOG, Usage, everything
from tests.scenarios.world import World

KEEP = timedelta(days=37)
ANN = Actor(ActorKind.CLI, "ann")


@pytest.fixture
def owner(db_url: str) -> Iterator[Engine]:
    engine = make_engine(db_url, role=None)
    yield engine
    engine.dispose()


@pytest.fixture
def usage(world: World) -> Usage:
    """Events of every meter on many days; some days have tables of their own, and some haven't."""
    world.publish(CATALOG)
    usage = Usage(world, world.subscribed("metered"))
    for day in range(1, 13):
        world.jump_to(f"2026-01-{day:02}T12:00:00")
        if day > 6:
            days.make_ahead(world.engine, world.now)
        usage.send(
            usage.event(n=UsageNumber(f"{day}.5")),
            usage.event("call", user=f"u{day % 3}"),
            usage.event("gauge", n=UsageNumber(str(20 - day))),
            usage.event("box", n=UsageNumber("1"), ago="60s"),
        )
    return usage


def holds(usage: Usage) -> bool:
    with usage.world.engine.connect() as conn:
        return all(each.holds for each in examine(conn) if each.promise == 10)


def plan(usage: Usage, owner: Engine) -> Pruning:
    return pruning.planned(owner, usage.world.now, KEEP)


def kept(usage: Usage) -> int:
    with usage.world.engine.connect() as conn:
        return int(conn.execute(text("SELECT count(*) FROM usage_events")).scalar_one())


def tables(usage: Usage) -> list[str]:
    query = text("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY 1")
    with usage.world.engine.connect() as conn:
        return [str(row.relname) for row in conn.execute(query)]


def test_days_are_made_ahead_once_there_is_usage(world: World) -> None:
    assert days.make_ahead(world.engine, world.now) == 0

    world.publish(CATALOG)
    usage = Usage(world, world.subscribed("metered"))
    usage.send(usage.event(n=UsageNumber("1")))

    assert days.make_ahead(world.engine, world.now) == 14, "events and ids of seven days"
    assert days.make_ahead(world.engine, world.now) == 0


def test_totals_stay_and_add_up_whatever_was_taken_out(usage: Usage, owner: Engine) -> None:
    before, counted = everything(usage.world), kept(usage)
    for moment, left in (("2026-02-12", 42), ("2026-02-15", 24), ("2026-03-30", 0)):
        usage.world.jump_to(moment)
        sealed = list(pruning.prune(owner, plan(usage, owner), usage.world.now, ANN))

        assert sealed, moment
        assert kept(usage) == left
        assert everything(usage.world) == before
        assert holds(usage)
    assert counted == 72


def test_a_day_that_was_taken_out_takes_no_event_again(usage: Usage, owner: Engine) -> None:
    event = usage.event("call", user="new")
    usage.send(event)
    usage.world.jump_to("2026-03-30")
    list(pruning.prune(owner, plan(usage, owner), usage.world.now, ANN))

    assert usage.refused(event) == ["too_old"]
    assert holds(usage)


def test_its_tables_and_old_ids_are_gone(usage: Usage, owner: Engine) -> None:
    usage.world.jump_to("2026-03-30")
    list(pruning.prune(owner, plan(usage, owner), usage.world.now, ANN))

    assert tables(usage) == ["usage_events_other", "usage_ids_other"]
    with usage.world.engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM usage_ids")).scalar_one() == 0
        lines = conn.execute(text("SELECT count(*) FROM audit_log WHERE action = 'usage.prune'"))
        assert lines.scalar_one() == 12


def test_days_are_kept_as_long_as_something_accepts_usage_of_them(
    usage: Usage, owner: Engine
) -> None:
    with pytest.raises(BadInput, match="accepted up to 35 days late, and 36 days would be kept"):
        pruning.planned(owner, usage.world.now, timedelta(days=36))
