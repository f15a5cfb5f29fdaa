"""Whatever the order, the batches and the repetitions in which events come: the totals are one."""

import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from billing.rules.usage import UsageNumber, event_id
from tests.scenarios.metering import CATALOG, Usage, everything
from tests.scenarios.world import World

NUMBERS = st.one_of(
    st.integers(-(10**18) + 1, 10**18 - 1).map(str),
    st.tuples(st.integers(-999, 999), st.integers(0, 10**12 - 1)).map(
        lambda parts: f"{parts[0]}.{parts[1]:012}"
    ),
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["search", "call", "gauge", "box"]),
        NUMBERS,
        st.integers(0, 9 * 86_400),
        st.sampled_from(["bob", "carol", "dave"]),
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture
def usage(world: World) -> Usage:
    """A subscriber whose second period has just begun."""
    world.publish(CATALOG)
    ada = world.subscribed("metered")
    world.run_until("2026-02-05")
    return Usage(world, ada)


def test_totals_follow_from_the_events_alone(usage: Usage) -> None:
    @settings(
        max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
    )
    @given(made=EVENTS, seed=st.integers(0, 10**9))
    def check(made: list[tuple[str, str, int, str]], seed: int) -> None:
        rows = [
            usage.event(name, id=f"{seed} {place}", n=UsageNumber(number), user=user, ago=f"{ago}s")
            for place, (name, number, ago, user) in enumerate(made)
        ]
        chance = random.Random(seed)
        first = counted(usage, rows, chance)
        assert counted(usage, rows, chance) == first
        assert first["usage_totals"] == specified(rows, first["usage_totals"])

    check()


def counted(usage: Usage, rows: list[dict[str, Any]], chance: random.Random) -> dict[str, Any]:
    """Send events shuffled, cut into batches, some again, and return what they came to."""
    clear(usage)
    sent = rows + chance.choices(rows, k=chance.randrange(len(rows) + 1))
    chance.shuffle(sent)
    while sent:
        size = chance.randrange(1, len(sent) + 1)
        batch, sent = sent[:size], sent[size:]
        answer = usage.send(*batch)
        assert not answer.refused
        assert not answer.conflicting
    found = everything(usage.world)
    return {table: [tuple(row) for row in rows] for table, rows in found.items()}


def clear(usage: Usage) -> None:
    """Forget all usage, as no engine can."""
    tables = ("usage_events", "usage_ids", "usage_totals", "usage_keys", "usage_counts")
    with usage.world.engine.begin() as conn:
        conn.exec_driver_sql("SET ROLE NONE")
        for table in (*tables, "usage_sealed", "usage_days"):
            conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        conn.execute(text(f"TRUNCATE {', '.join((*tables, 'usage_sealed', 'usage_days'))}"))
        for table in (*tables, "usage_sealed", "usage_days"):
            conn.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
        conn.exec_driver_sql("SET ROLE billing_app")


def specified(rows: list[dict[str, Any]], stored: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Compare totals with those that are computed here, and return them as they are stored."""
    meters = {
        "search": ("searches",), "call": ("callers", "calls"), "gauge": ("latest", "peak"),
        "box": ("boxes",),
    }  # fmt: skip
    wanted: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        n = 0 if row["at"] < "2026-02-01" else 1
        for meter in meters[row["event"]]:
            wanted.setdefault((meter, n), []).append(row)
    found = {(row[1], row[2]): row for row in stored}
    assert found.keys() == wanted.keys()
    for place, events in wanted.items():
        total = found[place]
        ids = [event_id(row["id"]).int for row in events]
        assert (total[4], int(total[5])) == (len(events), sum(ids) % 2**128)
        if events[0]["event"] == "call":
            users = {row["properties"]["user"] for row in events}
            assert total[12] == (len(users) if place[0] == "callers" else None)
            continue
        values = [Fraction(row["properties"]["n"]) for row in events]
        last = max(events, key=lambda row: (row["at"], event_id(row["id"]).int))
        assert Fraction(total[6]) == sum(values)
        assert Fraction(total[7]) == max(values)
        assert Fraction(total[10]) == Fraction(last["properties"]["n"])
    return stored
