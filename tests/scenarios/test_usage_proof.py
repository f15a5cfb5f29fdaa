"""Usage that was changed with the guards off: the proof names it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, text

from billing.flows.prove import examine
from billing.presenters.findings import in_words
from billing.rules.promises import FindingKind
from billing.rules.usage import UsageNumber
from billing.store.engine import make_engine
from tests.scenarios.metering import CATALOG, Usage
from tests.scenarios.world import World

TABLES = (
    "usage_events", "usage_ids", "usage_totals", "usage_keys", "usage_counts", "usage_days",
    "usage_sealed",
)  # fmt: skip
ONE = "(SELECT id FROM usage_events WHERE meter = 'searches' ORDER BY at LIMIT 1)"


@pytest.fixture
def told(world: World, db_url: str) -> Iterator[Engine]:
    """The owner of a database in which usage was counted."""
    world.publish(CATALOG)
    usage = Usage(world, world.subscribed("metered"))
    world.run_until("2026-02-15")
    usage.send(
        *(usage.event(n=UsageNumber(str(n)), ago=f"{n}s") for n in range(5)),
        usage.event("call", user="bob"),
        usage.event("call", user="carol"),
        usage.event("box", n=UsageNumber("3"), ago="600000s"),
    )
    usage.send(usage.event("nothing"))
    owner = make_engine(db_url, role=None)
    with owner.connect() as conn:
        assert found(conn) == []
    yield owner
    owner.dispose()


def found(conn: Connection) -> list[FindingKind]:
    (result,) = (each for each in examine(conn) if each.promise == 10)
    findings = [each for each in result.findings if hasattr(each, "kind")]
    assert all(in_words(each) for each in findings)
    return [each.kind for each in findings]


def unguarded(conn: Connection) -> None:
    for table in (*TABLES, "usage_events_other", "usage_ids_other"):
        conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))


SPOILT = {
    "an event that is gone": (
        f"DELETE FROM usage_events WHERE id = {ONE}",
        ["usage_total", "usage_id_of_event", "usage_received"],
    ),
    "a value that is another": (
        f"UPDATE usage_events SET value = value + 1 WHERE id = {ONE}",
        ["usage_total"],
    ),
    "an event of another period": (
        f"UPDATE usage_events SET n = 0 WHERE id = {ONE}",
        ["usage_total", "usage_total"],
    ),
    "an event under another id": (
        f"UPDATE usage_events SET id = gen_random_uuid() WHERE id = {ONE}",
        ["usage_total", "usage_id_of_event"],
    ),
    "an event at another instant": (
        f"UPDATE usage_events SET at = at - interval '1 second' WHERE id = {ONE}",
        ["usage_total", "usage_id_of_event"],
    ),
    "an event with another payload": (
        f"UPDATE usage_events SET payload = payload + 1 WHERE id = {ONE}",
        ["usage_id_of_event"],
    ),
    "an event that counts twice": (
        "INSERT INTO usage_events SELECT at - interval '1 second', received_at, payload, n,"
        f" segment, id, subscription_id, meter, value, key FROM usage_events WHERE id = {ONE}",
        ["usage_total", "usage_counted_twice", "usage_received"],
    ),
    "a total that is more": ("UPDATE usage_totals SET sum = sum + 1 WHERE meter = 'searches'",
                             ["usage_total"]),
    "a total with another fingerprint": (
        "UPDATE usage_totals SET id_sum = id_sum + 1 WHERE meter = 'calls'",
        ["usage_total"],
    ),
    "a total with another last value": (
        "UPDATE usage_totals SET last = 99 WHERE meter = 'searches'",
        ["usage_total"],
    ),
    "a level that was reached earlier": (
        "UPDATE usage_totals SET moment = moment - 1 WHERE meter = 'boxes'",
        ["usage_total"],
    ),
    "a total that is gone": (
        "DELETE FROM usage_totals WHERE meter = 'boxes'",
        ["usage_total", "usage_received"],
    ),
    "keys that weren't counted": (
        "UPDATE usage_totals SET keys = 9 WHERE meter = 'callers'",
        ["usage_keys"],
    ),
    "a key that is gone": (
        "DELETE FROM usage_keys WHERE key = (SELECT min(key::text)::uuid FROM usage_keys)",
        ["usage_keys", "usage_key_missing"],
    ),
    "more accepted than there are": (
        "UPDATE usage_counts SET events = events + 1 WHERE outcome = 'accepted'",
        ["usage_received"],
    ),
    "a sealed day with an event that no total has": (
        "INSERT INTO usage_days VALUES ('2026-01-01', 1, 1, 5, now(), 'cli:ann')",
        ["usage_received", "usage_sealed"],
    ),
    "a day that is sealed and not emptied": (
        "INSERT INTO usage_days VALUES ('2026-02-15', 0, 0, 0, now(), 'cli:ann')",
        ["usage_sealed"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_the_proof_names_what_was_changed(told: Engine, name: str) -> None:
    statement, kinds = SPOILT[name]
    with told.connect() as conn:
        unguarded(conn)
        conn.execute(text(statement))
        assert [str(kind) for kind in found(conn)] == kinds
        conn.rollback()
