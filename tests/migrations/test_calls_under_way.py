"""What was under way when the database migrated goes on as the request it was, under its key."""

from datetime import UTC, datetime
from uuid import UUID

import psycopg

from billing.store.schema import migrate

WAITING = UUID(int=0xCA11)
UNASKED = UUID(int=0xCA12)
ASKED_AT = datetime(2026, 2, 1, 10, 0, 0, 500_000, tzinfo=UTC)
NOT_HELD = datetime(1970, 1, 1, tzinfo=UTC)


def authorised(conn: psycopg.Connection, payment: UUID, held_until: datetime, kind: str) -> None:
    conn.execute(
        "INSERT INTO payments (id, customer_id, amount, currency, state, provider_payment_id,"
        " attempt_n, next_attempt_at, next_attempt_kind, dispatch_after, created_at, updated_at,"
        " payment_method_id, capture_method, authorized_until, capture_amount)"
        " SELECT %(id)s, customer_id, 5000, 'USD', 'AUTHORIZED', %(id)s::text, 1, %(at)s, %(kind)s,"
        " %(held)s, %(at)s, %(at)s, id, 'manual', '2026-02-08',"
        " CASE WHEN %(kind)s = 'capture' THEN 3000 END FROM payment_methods LIMIT 1",
        {"id": payment, "at": ASKED_AT, "kind": kind, "held": held_until},
    )
    conn.execute(
        "INSERT INTO attempts (payment_id, n, kind, idempotency_key, payment_method_id, request,"
        " rung, first_sent_at, finished_at, outcome) SELECT id, 1, 'first',"
        " 'sandbox:payment:' || id || ':a1', payment_method_id, '{}', 0, created_at, created_at,"
        " 'succeeded' FROM payments WHERE id = %s",
        (payment,),
    )


def test_a_capture_that_may_have_been_sent_keeps_its_key(released_url: str) -> None:
    with psycopg.connect(released_url) as conn:
        authorised(conn, WAITING, datetime(2030, 1, 1, tzinfo=UTC), "capture")
        authorised(conn, UNASKED, NOT_HELD, "void")

    migrate(released_url)

    with psycopg.connect(released_url) as conn:
        found = conn.execute(
            "SELECT subject_id, kind, n, sends, finished_at, idempotency_key, request"
            " FROM provider_calls WHERE subject_id IN (%s, %s) AND kind <> 'charge'",
            (WAITING, UNASKED),
        ).fetchall()
    key = f"sandbox:payment:{WAITING}:capture:{ASKED_AT.timestamp():.0f}:3000"
    request = {"provider_payment_id": str(WAITING), "amount": 3000, "currency": "USD"}
    assert found == [(WAITING, "capture", 1, 1, None, key, request)]


# As an attempt was stored before, and as its call is now.
SENT = """
SELECT payment_id, n, idempotency_key, request, first_sent_at, sends, unknown_since, last_error,
       finished_at, outcome, provider_request_id
  FROM attempts ORDER BY payment_id, n
"""
CALLS = """
SELECT subject_id, n, idempotency_key, request, first_sent_at, sends, unknown_since,
       error_class || ': ' || error_message, finished_at, outcome, provider_request_id
  FROM provider_calls WHERE kind = 'charge' ORDER BY subject_id, n
"""


def test_every_attempt_keeps_what_was_sent_in_its_call(released_url: str) -> None:
    with psycopg.connect(released_url) as conn:
        sent = conn.execute(SENT).fetchall()
    unanswered = {row[:2] for row in sent if row[7] is None and row[8] is None}
    assert unanswered, "the fixture has an attempt whose last send was never answered"

    migrate(released_url)

    with psycopg.connect(released_url) as conn:
        assert conn.execute(CALLS).fetchall() == sent
        behind = conn.execute(
            "SELECT subject_id, n FROM provider_calls WHERE kind = 'charge' AND answered < sends"
        ).fetchall()
    assert set(behind) == unanswered
