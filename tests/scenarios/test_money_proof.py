"""The proof sees what was done to refunds, disputes and revenue by somebody who went around it."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from billing.flows import prove
from billing.flows.cycles import recognition
from billing.flows.refunds.requesting import NotRefundable
from billing.presenters.findings import in_words
from billing.store.engine import make_engine
from tests.scenarios.money import (
    NO_TRIAL,
    apply_events_of_dispute,
    balances,
    decide,
    give_back,
    open_dispute,
    paid,
    settings,
    usd,
)
from tests.scenarios.world import World

TAMPERED = {
    "a refund nobody counts": (
        "UPDATE payments SET amount_refunded = amount_refunded - 100 WHERE amount_refunded > 0",
        "refunds add up to",
    ),
    "a refund that says it succeeded": (
        "UPDATE refunds SET state = 'succeeded', finished_at = now(), next_attempt_at = NULL"
        " WHERE state = 'requested'",
        "promised and 0.00 USD paid",
    ),
    "a refund whose parts moved": (
        "UPDATE refunds SET recognised = recognised + 1, deferred = deferred - 1"
        " WHERE state = 'succeeded'",
        "or splits it otherwise",
    ),
    "a refund that was settled by hand": (
        "UPDATE refunds SET settled_at = '2026-03-01' WHERE settled_at IS NULL",
        "settled on 2026-03-01 00:00 UTC, which neither a balance transaction nor",
    ),
    "a refund that is gone": (
        "WITH parts AS (DELETE FROM line_parts WHERE kind = 'refund')"
        " DELETE FROM refunds WHERE state = 'succeeded'",
        "is not there",
    ),
    "a payment that says it was refunded": (
        "UPDATE payments SET state = 'REFUNDED' WHERE amount_refunded > 0",
        "is REFUNDED with",
    ),
    "a loss without an entry": (
        "UPDATE disputes SET lost_deferred = lost_deferred - 1 WHERE state = 'lost'",
        "lost; the journal has",
    ),
    "a dispute that holds nothing": (
        "UPDATE disputes SET funds_withdrawn = false WHERE state = 'opened'",
        "withheld",
    ),
    "more earned than invoiced": (
        "INSERT INTO revenue_recognitions (invoice_id, line, through, amount)"
        " SELECT invoice_id, 1, '2030-01-01', 999999 FROM payments LIMIT 1",
        "that never was",
    ),
    "earned without an entry": (
        "INSERT INTO revenue_recognitions (invoice_id, line, through, amount)"
        " SELECT invoice_id, 1, '2030-01-01', 1 FROM payments LIMIT 1",
        "are recognised, the journal has",
    ),
    "an invoice nobody looks at": (
        "UPDATE invoices SET recognise_at = NULL",
        "that nobody will recognise",
    ),
    "an invoice invoiced for more": (
        "UPDATE invoice_lines SET amount = amount + 5",
        "to be recognised, the journal has",
    ),
    "a fee that the provider didn't take": (
        "UPDATE settlement_rows SET fee = fee + 1, net = net - 1 WHERE category = 'charge'",
        "the provider kept",
    ),
    "a fee nobody settled": (
        "DELETE FROM settlement_rows WHERE category = 'charge'",
        "the provider kept 0.00",
    ),
    "an exchange at another amount": (
        "UPDATE fx_events SET to_amount = to_amount + 1",
        "the journal has {",
    ),
    "an exchange nobody wrote down": ("DELETE FROM fx_events", "nothing is written down"),
}


@pytest.fixture
def busy(world: World) -> World:
    """A payment with refunds in two states, one lost in part, one in dispute."""
    subscriber = paid(world)
    payment = world.payment(subscriber)
    give_back(world, payment.id, usd(300))
    world.settle()
    lost, held = world.subscribed("monthly"), world.subscribed("monthly")
    world.settle()
    dispute = open_dispute(world, world.payment(lost).id, amount=1000)
    decide(world, dispute, "lost")
    apply_events_of_dispute(world, dispute)
    apply_events_of_dispute(world, open_dispute(world, world.payment(held).id))
    settings(world, settlement_currency={"usd": "eur"}, exchange_rates={"usd:eur": "0.9"})
    exchanged = world.subscribed("monthly")
    world.settle()
    world.close_books()
    give_back(world, world.payment(exchanged).id, usd(100))
    world.settle()
    world.close_books()
    give_back(world, payment.id, usd(200))
    world.assert_promises_hold()
    return world


def test_the_proof_names_what_was_tampered_with(busy: World, db_url: str) -> None:
    """Each is done in the same world, looked at in its transaction, and taken back."""
    owner = make_engine(db_url, role=None)
    with owner.connect() as conn:
        for table in (
            "payments", "refunds", "disputes", "invoices", "invoice_lines", "revenue_recognitions",
            "settlement_rows", "fx_events", "line_parts",
        ):  # fmt: skip
            conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        found = {name: tampered(conn, busy, TAMPERED[name][0]) for name in TAMPERED}
        conn.rollback()
    owner.dispose()

    assert {
        name: found[name]
        for name, (_, says) in TAMPERED.items()
        if not any(says in finding for finding in found[name])
    } == {}


def tampered(conn: Connection, world: World, statement: str) -> list[str]:
    """Return what the proof finds after a statement, which is taken back."""
    attack = conn.begin_nested()
    assert conn.execute(text(statement)).rowcount > 0, f"it hit nothing: {statement}"
    results = prove.examine(conn, world.now)
    attack.rollback()
    return [in_words(finding) for result in results for finding in result.findings]


def test_refunds_and_recognition_at_once_share_what_is_left(world: World) -> None:
    """Whoever is first, nothing is both given back and earned."""
    world.earn_daily()
    world.publish(NO_TRIAL)
    subscribers = [world.subscribed("monthly") for _ in range(12)]
    world.settle()
    world.jump_to("2026-01-17 12:00")

    def ask(payment_id: UUID) -> None:
        with contextlib.suppress(NotRefundable):
            give_back(world, payment_id, usd(700))

    def earn() -> None:
        recognition.run(world.engine, now=world.now, batch=1, policy=world.policy)

    wanted = [world.payment(subscriber).id for subscriber in subscribers] * 5
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(earn)]
        jobs += [pool.submit(ask, payment_id) for payment_id in reversed(wanted)]
        for job in jobs:
            job.result()
    world.settle()
    world.close_books()

    found = balances(world)
    assert found["refunds_contra"] > 0, "some were earned before they were given back"
    assert found["psp_clearing"] > 0
    world.run_until("2026-01-31 23:00")
    world.jump_to("2026-02-01")
    world.close_books()
    world.assert_everything_adds_up()
