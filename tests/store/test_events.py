"""The inbox: each event once, due until it is handled, and nobody's while somebody is at it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from billing.queries.events import OVERLAP, Listener
from billing.rules.provider_events import EventKind
from billing.store.access import events

WALL = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = WALL + timedelta(minutes=5)


def row(event_id: str, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "provider": "stripe",
        "event_id": event_id,
        "type": "refund.failed",
        "kind": "refund_updated",
        "object_id": "re_1",
        "created": WALL - timedelta(minutes=1),
        "received_at": WALL,
        "source": "webhook",
        "payload": {"id": event_id},
        "handled_at": None,
        "handling": None,
        "next_try_at": WALL,
    }
    return made | changes


def test_an_event_is_kept_once(engine: Engine) -> None:
    with engine.begin() as conn:
        assert events.add(conn, [row("evt_1"), row("evt_2")]) == {"evt_1", "evt_2"}
    with engine.begin() as conn:
        assert events.add(conn, [row("evt_2", source="sweep"), row("evt_3")]) == {"evt_3"}
        assert events.add(conn, []) == set()
        kept = {each.event_id: each.source for each in events.page(conn)}

    assert kept == {"evt_1": "webhook", "evt_2": "webhook", "evt_3": "webhook"}


def test_due_events_are_taken_oldest_first_and_by_one_at_a_time(engine: Engine) -> None:
    with engine.begin() as conn:
        events.add(
            conn,
            [
                row("evt_new", created=WALL),
                row("evt_old", created=WALL - timedelta(hours=1)),
                row("evt_later", next_try_at=WALL + timedelta(seconds=1)),
                row("evt_done", next_try_at=None, handled_at=WALL, handling="ignored"),
            ],
        )

    with engine.begin() as first, engine.begin() as second:
        mine = events.claim_due(first, wall=WALL, until=LATER, limit=9)
        theirs = events.claim_due(second, wall=WALL, until=LATER, limit=9)

    assert [each.event_id for each in mine] == ["evt_old", "evt_new"]
    assert [each.tries for each in mine] == [1, 1]
    assert theirs == []


def test_an_event_whose_worker_died_is_due_again(engine: Engine) -> None:
    with engine.begin() as conn:
        events.add(conn, [row("evt_1")])
        events.claim_due(conn, wall=WALL, until=LATER, limit=1)
        assert events.claim_due(conn, wall=WALL, until=LATER, limit=1) == []
        again = events.claim_due(conn, wall=LATER, until=LATER + timedelta(minutes=5), limit=1)

    assert [(each.event_id, each.tries) for each in again] == [("evt_1", 2)]


def test_an_event_that_a_wrong_clock_put_off_is_due(engine: Engine) -> None:
    with engine.begin() as conn:
        events.add(conn, [row("evt_1", next_try_at=WALL + timedelta(days=400))])
        hour = WALL + timedelta(hours=1)
        found = events.claim_due(conn, wall=WALL, until=LATER, held_until=hour, limit=1)

    assert [each.event_id for each in found] == ["evt_1"]


def test_a_failure_is_kept_until_the_event_is_handled(engine: Engine) -> None:
    with engine.begin() as conn:
        events.add(conn, [row("evt_1"), row("evt_2")])
        events.failed(conn, "stripe", ["evt_1", "evt_2"], error="no answer", again_at=LATER)
        (one, _) = events.page(conn, unhandled=True)
        assert (one.last_error, one.next_try_at) == ("no answer", LATER)

        events.handled(
            conn,
            "stripe",
            ["evt_1", "evt_2"],
            wall=LATER,
            handling="refund_applied",
            facts={"re_1": "failed"},
        )
        (one, two) = events.some(conn, ["evt_1", "evt_2"])
        assert events.page(conn, unhandled=True) == []

    assert (one.handled_at, one.handling, one.last_error) == (LATER, "refund_applied", None)
    assert one.facts == two.facts == {"re_1": "failed"}
    assert two.next_try_at is None


def test_an_event_that_was_handled_stays_so(engine: Engine) -> None:
    with engine.begin() as conn:
        events.add(conn, [row("evt_1")])
        events.handled(conn, "stripe", ["evt_1"], wall=WALL, handling="unchanged", facts={})
        events.failed(conn, "stripe", ["evt_1"], error="a late loser", again_at=LATER)
        (one,) = events.some(conn, ["evt_1"])

    assert (one.handling, one.last_error, one.next_try_at) == ("unchanged", None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"next_try_at": None},
        {"handled_at": WALL},
        {"source": "hearsay"},
        {"kind": "payment_intent.succeeded"},
    ],
)
def test_the_database_refuses_an_event_that_is_neither_due_nor_handled(
    engine: Engine, changes: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError), engine.begin() as conn:
        events.add(conn, [row("evt_1", **changes)])


def test_events_are_listed_in_the_order_in_which_they_happened(engine: Engine) -> None:
    with engine.begin() as conn:
        events.add(
            conn,
            [row(f"evt_{n}", created=WALL + timedelta(hours=n // 2)) for n in (3, 1, 4, 0, 2)]
            + [
                row(
                    "evt_9",
                    created=WALL,
                    object_id="dp_1",
                    type="charge.dispute.closed",
                    kind="dispute_closed",
                )
            ],
        )

        def listed(**only: Any) -> list[str]:
            return [each.event_id for each in events.page(conn, **only)]

        assert listed() == ["evt_0", "evt_1", "evt_9", "evt_2", "evt_3", "evt_4"]
        assert listed(after="evt_9", limit=2) == ["evt_2", "evt_3"]
        assert listed(since=WALL + timedelta(hours=1)) == ["evt_2", "evt_3", "evt_4"]
        assert listed(object_id="dp_1") == listed(type_="charge.dispute.closed") == ["evt_9"]
        assert listed(kind=EventKind.DISPUTE_CLOSED) == ["evt_9"]
        batches = [len(batch) for batch in events.since(conn, WALL, batch=4)]

    assert batches == [4, 2]


def test_due_events_are_found_by_index_however_many_there_are(engine: Engine) -> None:
    with engine.begin() as conn:
        conn.execute(
            text(
                "INSERT INTO provider_events (provider, event_id, type, kind, object_id, created,"
                " received_at, source, payload, handled_at, handling)"
                " SELECT 'stripe', 'evt_' || g, 'payout.paid', 'payout_paid', 'po_' || g, now(),"
                " now(), 'webhook', '{}', now(), 'x' FROM generate_series(1, 20000) g"
            )
        )
        events.add(conn, [row("evt_due")])
    with engine.connect() as conn:
        # The planner's figures are autovacuum's business; the application may not ANALYZE.
        conn.execute(text("SET LOCAL enable_seqscan = off"))
        plan = conn.execute(
            text(f"EXPLAIN (FORMAT JSON) {events.CLAIM_DUE.text}"),
            {"wall": WALL, "until": LATER, "held_until": LATER, "limit": 25},
        ).scalar_one()

    assert "provider_events_due" in json.dumps(plan)


def listened(engine: Engine, listener: Listener, wall: datetime) -> list[tuple[str, str]]:
    with engine.connect() as conn:
        return [(each.state, each.event.event_id) for each in listener.poll(conn, wall)]


def test_a_listener_hears_each_change_once_from_when_it_began(engine: Engine) -> None:
    at = WALL
    with engine.begin() as conn:
        events.add(conn, [row("evt_before")])
    with engine.connect() as conn:
        listener = Listener(conn, at)
    assert listened(engine, listener, at) == []

    at += timedelta(seconds=1)
    with engine.begin() as conn:
        events.add(conn, [row("evt_1", received_at=at), row("evt_2", received_at=at)])
    assert listened(engine, listener, at) == [("received", "evt_1"), ("received", "evt_2")]
    assert listened(engine, listener, at) == []

    with engine.begin() as conn:
        events.claim_due(conn, wall=at, until=at + OVERLAP, limit=9)
    assert listened(engine, listener, at) == []
    with engine.begin() as conn:
        events.failed(conn, "stripe", ["evt_1"], error="worker_has_payment", again_at=at)
        events.handled(conn, "stripe", ["evt_2"], wall=at, handling="unchanged", facts={})
    assert sorted(listened(engine, listener, at)) == [("failed", "evt_1"), ("handled", "evt_2")]

    with engine.begin() as conn:  # the next try, for the same reason
        events.claim_due(conn, wall=at, until=at + OVERLAP, limit=9)
    assert listened(engine, listener, at) == []
    with engine.begin() as conn:
        events.failed(conn, "stripe", ["evt_1"], error="charge_unanswered", again_at=at)
    assert listened(engine, listener, at) == [("failed", "evt_1")]


def test_a_listener_hears_what_was_committed_late_and_what_was_handled_at_once(
    engine: Engine,
) -> None:
    with engine.connect() as conn:
        listener = Listener(conn, WALL)
    at = WALL + timedelta(minutes=1)
    assert listened(engine, listener, at) == []

    late = row("evt_late", received_at=at - OVERLAP / 2)
    ignored = row("evt_x", received_at=at, handled_at=at, handling="ignored", next_try_at=None)
    with engine.begin() as conn:
        events.add(conn, [late, ignored])

    assert listened(engine, listener, at) == [("received", "evt_late"), ("received", "evt_x")]
    for seconds in range(1, 61):  # however long it goes on, nothing is told twice
        assert listened(engine, listener, at + timedelta(seconds=seconds)) == []
