"""Refunds and customers that were asked for before they were calls: each gets the call it was."""

from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from billing.store.schema import migrate

Row = dict[str, Any]

REQUESTED: Final = "SELECT id, sends FROM refunds WHERE state = 'requested' ORDER BY sends, id"


def rows(url: str, statement: str, *values: object) -> list[Row]:
    with psycopg.connect(url, row_factory=dict_row) as conn:
        return conn.execute(statement.encode(), values).fetchall()


def change(url: str, refund_id: UUID, **values: object) -> None:
    sets = ", ".join(f"{name} = %s" for name in values)
    with psycopg.connect(url) as conn:
        conn.execute(
            f"UPDATE refunds SET {sets} WHERE id = %s".encode(), (*values.values(), refund_id)
        )


def call_of(url: str, refund_id: UUID) -> Row:
    (call,) = rows(url, "SELECT * FROM provider_calls WHERE subject_id = %s", refund_id)
    return call


@pytest.fixture
def sent(released_url: str) -> UUID:
    """A refund that was sent, and whose outcome nobody knows."""
    found = rows(released_url, REQUESTED)[-1]
    assert found["sends"] > 0
    refund_id = found["id"]
    assert isinstance(refund_id, UUID)
    return refund_id


def test_every_refund_that_was_sent_has_its_key_and_its_request(released_url: str) -> None:
    before = rows(
        released_url,
        "SELECT r.*, p.provider_payment_id FROM refunds r JOIN payments p ON p.id = r.payment_id",
    )

    migrate(released_url)

    calls = {
        call["subject_id"]: call
        for call in rows(released_url, "SELECT * FROM provider_calls WHERE kind = 'refund'")
    }
    assert set(calls) == {refund["id"] for refund in before if refund["sends"]}
    assert {refund["state"] for refund in before if refund["sends"]} >= {"requested", "succeeded"}
    for refund in (each for each in before if each["sends"]):
        call = calls[refund["id"]]
        assert call["idempotency_key"] == refund["idempotency_key"]
        assert call["request"] == {
            "provider_payment_id": refund["provider_payment_id"],
            "amount": refund["amount"],
            "currency": refund["currency"],
            "metadata": {"refund": str(refund["id"]), "payment": str(refund["payment_id"])},
        }
        assert (call["n"], call["sends"]) == (1, refund["sends"])
        assert call["first_sent_at"] == refund["first_sent_at"]
        assert (call["finished_at"] is None) == (refund["state"] == "requested")
        assert call["outcome"] == (None if refund["state"] == "requested" else "succeeded")


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (
            {"sends": 2, "last_error": "timeout: no answer: none", "unknown_since": "2026-02-01"},
            {"sends": 2, "answered": 2, "error_class": "timeout"},
        ),
        (
            {"sends": 2, "last_error": "rate_limit: slow down", "unknown_since": None},
            {"answered": 2, "error_class": "rate_limit", "unknown_since": None},
        ),
        ({"sends": 3, "last_error": None, "unknown_since": None}, {"sends": 3, "answered": 2}),
        (
            {"sends": 1, "last_error": "the provider says 7.01 USD", "unknown_since": None},
            {"answered": 0, "error_class": None, "error_message": None},
        ),
    ],
    ids=["an unknown outcome", "certainly not executed", "no answer yet", "another amount"],
)
def test_what_is_known_of_the_last_send_stays_known(
    released_url: str, sent: UUID, was: Row, becomes: Row
) -> None:
    change(released_url, sent, **was)

    migrate(released_url)

    assert becomes.items() <= call_of(released_url, sent).items()


def test_a_second_key_stays_the_key(released_url: str, sent: UUID) -> None:
    change(released_url, sent, key_n=2)
    ((first),) = rows(released_url, "SELECT idempotency_key FROM refunds WHERE id = %s", sent)

    migrate(released_url)

    assert call_of(released_url, sent)["idempotency_key"] == f"{first['idempotency_key']}:k2"


def test_a_refund_that_was_refused_has_a_refused_call(released_url: str, sent: UUID) -> None:
    with psycopg.connect(released_url) as conn:
        conn.execute(
            "UPDATE payments SET amount_refunded = amount_refunded - r.amount"
            " FROM refunds r WHERE r.payment_id = payments.id AND r.id = %s",
            (sent,),
        )
        conn.execute(
            "UPDATE refunds SET state = 'failed', failure_reason = 'no', next_attempt_at = NULL,"
            " finished_at = '2026-03-01' WHERE id = %s",
            (sent,),
        )

    migrate(released_url)

    call = call_of(released_url, sent)
    assert call["outcome"] == "rejected"
    assert f"{call['finished_at']:%Y-%m-%d}" == "2026-03-01"


def test_a_customer_who_is_not_at_the_provider_yet_keeps_the_key(released_url: str) -> None:
    with psycopg.connect(released_url) as conn:
        conn.execute(
            "INSERT INTO customers (id, name, created_at)"
            " VALUES (gen_random_uuid(), 'Unfinished', '2026-02-01')"
        )

    migrate(released_url)

    (customer,) = rows(released_url, "SELECT * FROM customers WHERE name = 'Unfinished'")
    call = call_of(released_url, customer["id"])
    assert call["idempotency_key"] == f"sandbox:customer:{customer['id']}"
    assert (call["kind"], call["n"], call["outcome"]) == ("customer", 1, None)
    assert call["request"] == {"metadata": {}}, "engines had no ids when it was sent"
    others = rows(released_url, "SELECT * FROM provider_calls WHERE kind = 'customer'")
    assert others == [call], "who is there is not asked for again"
