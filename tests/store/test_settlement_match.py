"""The database judges every combination of both sides as its specification in Python does."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal  # noqa: TID251  exchange rates are no money
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine, text

from billing.gateway.stripe.categories import movement_kind
from billing.ids import new_id
from billing.ledger import recipes
from billing.rules.money import Money
from billing.rules.payments import State
from billing.rules.reconciliation import DISPUTES, PAYOUTS, REFUNDS, MovementKind, RunSource
from billing.store.engine import make_engine
from billing.store.journal import posting
from billing.store.settlement import matching, runs, staging
from tests.oracles.settlement import (
    ChargeRow,
    MoneyOut,
    Moved,
    Outcome,
    PaymentSide,
    judge_charge,
    judge_dispute,
    judge_payout,
    judge_refund,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GRACE = timedelta(hours=1)
CUSTOMER = UUID("018f0000-0000-7000-8000-000000000001")
METHOD = UUID("018f0000-0000-7000-8000-000000000002")


@pytest.fixture
def owner(db_url: str) -> Iterator[Engine]:
    """The database as its owner, with triggers and foreign keys off: sides, not stories."""
    with psycopg.connect(db_url) as conn:
        conn.execute(
            "SET session_replication_role = replica;"
            "INSERT INTO customers (id, provider, name, created_at)"
            f" VALUES ('{CUSTOMER}', 'stripe', 'C', now());"
            "INSERT INTO provider_customers (id, customer_id, provider, created_at)"
            f" VALUES ('{CUSTOMER}', '{CUSTOMER}', 'stripe', now());"
        )
    engine = make_engine(db_url, role=None)
    yield engine
    engine.dispose()


def off(conn: Any) -> None:
    conn.execute(text("SET LOCAL session_replication_role = replica"))


def put_payment(conn: Any, n: int, ours: PaymentSide) -> None:
    taken = ours.state in (State.CAPTURED, State.SETTLED, State.REFUNDED)
    invoice = new_id() if ours.voided else None
    if invoice is not None:
        conn.execute(
            text(
                "INSERT INTO invoices (id, cycle_id, subscription_id, customer_id, number,"
                " currency, net, tax, total, status, issued_at, resolved_at) VALUES (:id, :id,"
                " :id, :customer, :number, 'USD', 1, 0, 1, 'void', now(), now())"
            ),
            {"id": invoice, "customer": CUSTOMER, "number": f"N{n}"},
        )
    conn.execute(
        text(
            "INSERT INTO payments (id, customer_id, payment_method_id, invoice_id, amount,"
            " currency, state, provider_payment_id, provider_charge_id, amount_captured,"
            " authorized_until, dispatch_after, captured_at, created_at, updated_at)"
            " VALUES (:id, :customer, :method, :invoice, :amount, :currency, :state, :intent,"
            " :charge, :captured, now(), now(), :captured_at, now(), now())"
        ),
        {
            "id": new_id(),
            "customer": CUSTOMER,
            "method": METHOD,
            "invoice": invoice,
            "amount": ours.money.amount,
            "currency": ours.money.currency,
            "state": str(ours.state),
            "intent": f"pi_{n}",
            "charge": ours.charge_id and f"{ours.charge_id}_{n}",
            "captured": ours.money.amount if taken else 0,
            "captured_at": NOW if taken else None,
        },
    )


def row(run_id: UUID, n: int, **values: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "provider": "stripe",
        "provider_transaction_id": f"txn_{n:06}",
        "run_id": run_id,
        "kind": "charge",
        "category": "charge",
        "source_id": None,
        "provider_payment_id": f"pi_{n}",
        "provider_charge_id": None,
        "fee": 0,
        "customer_amount": None,
        "customer_currency": None,
        "exchange_rate": None,
        "provider_payout_id": None,
        "created": NOW - timedelta(days=1),
        "available_on": None,
        "metadata": {},
    }
    made |= values
    made["net"] = made["amount"] - made["fee"]
    return made


def charge_row(run_id: UUID, n: int, theirs: ChargeRow) -> dict[str, Any]:
    return row(
        run_id,
        n,
        provider_charge_id=theirs.charge_id and f"{theirs.charge_id}_{n}",
        amount=theirs.settled.amount,
        currency=theirs.settled.currency,
        fee=theirs.fee,
        customer_amount=theirs.money.amount,
        customer_currency=theirs.money.currency,
        exchange_rate=None if theirs.rate is None else str(theirs.rate),
        created=NOW - timedelta(minutes=1) if theirs.young else NOW - timedelta(days=1),
    )


def judged(conn: Any) -> dict[int, str]:
    batch = matching.lock_batch(conn, "stripe", after="", limit=100_000)
    assert batch is not None
    matching.judge(conn, batch, now=NOW, young_after=NOW - GRACE)
    rows = conn.execute(text("SELECT provider_transaction_id AS id, outcome FROM settlement_rows"))
    return {int(found.id.removeprefix("txn_")): found.outcome for found in rows}


def begin(conn: Any) -> UUID:
    return runs.start(
        conn,
        provider="stripe",
        source=RunSource.PROVIDER,
        reference="r",
        window_from=NOW - timedelta(days=1),
        window_to=NOW,
        now=NOW,
    )


def test_charges_are_judged_as_they_are_specified(owner: Engine) -> None:
    ours = [
        None,
        *(
            PaymentSide(state, Money(amount, currency), charge, voided=voided)
            for state, amount, currency, charge in itertools.product(
                State, (1000, 1001), ("USD", "JPY"), (None, "ch")
            )
            for voided in ((False, True) if state is State.FAILED else (False,))
        ),
    ]
    theirs = [
        ChargeRow(charge, money, settled, fee, rate, young)
        for charge, (money, settled, rate), fee, young in itertools.product(
            (None, "ch", "other"),
            (
                (Money(1000, "USD"), Money(1000, "USD"), None),
                (Money(1000, "USD"), Money(900, "USD"), None),
                (Money(1000, "USD"), Money(873, "EUR"), Decimal("0.8731")),
                (Money(1000, "USD"), Money(800, "EUR"), Decimal("0.8731")),
                (Money(1000, "USD"), Money(800, "EUR"), None),
                (Money(1000, "JPY"), Money(677, "USD"), Decimal("0.00676667")),
                (Money(1000, "JPY"), Money(6767, "USD"), Decimal("0.00676667")),
            ),
            (-1, 0, 88, 800, 5000),
            (False, True),
        )
    ]
    pairs = list(itertools.product(ours, theirs))
    chosen = random.Random(7).sample(pairs, 3_000)
    with owner.begin() as conn:
        off(conn)
        run_id = begin(conn)
        for n, (mine, _) in enumerate(chosen):
            if mine is not None:
                put_payment(conn, n, mine)
        staging.stage(conn, [charge_row(run_id, n, row) for n, (_, row) in enumerate(chosen)])
        found = judged(conn)

    wrong = [
        (mine, row, found[n], str(expected))
        for n, (mine, row) in enumerate(chosen)
        if found[n] != str(expected := judge_charge(mine, row))
    ]
    assert wrong == []
    assert len(set(found.values())) == 10, "every outcome comes up"


def test_of_two_charges_of_one_payment_the_known_or_else_the_first_counts(owner: Engine) -> None:
    captured = PaymentSide(State.CAPTURED, Money(1000, "USD"), "ch")
    known = replace(captured, charge_id="late")
    unknown = replace(captured, charge_id=None)
    with owner.begin() as conn:
        off(conn)
        run_id = begin(conn)
        rows = []
        for n, mine in ((1, known), (2, unknown)):
            put_payment(conn, n, mine)
            rows += [
                row(
                    run_id,
                    n * 10 + k,
                    provider_payment_id=f"pi_{n}",
                    provider_charge_id=f"{charge}_{n}",
                    amount=1000,
                    currency="USD",
                    created=NOW - timedelta(hours=10 - k),
                )
                for k, charge in enumerate(("early", "late"))
            ]
        staging.stage(conn, rows)
        found = judged(conn)

    assert found == {10: "duplicate_charge", 11: "matched", 20: "matched", 21: "duplicate_charge"}


REFUND_STATES = ("requested", "pending", "succeeded", "failed", "canceled")


def usd(amount: int) -> Money:
    return Money(amount, "USD")


@dataclass(frozen=True)
class ShownOfDispute:
    """A row of a dispute: what moved on the balance, and what that is in the customer's money."""

    balance: Money
    customer: Moved


SHOWN_OF_DISPUTES = [
    *(
        ShownOfDispute(money, Moved(money, fee))
        for money in (usd(-500), usd(-499), usd(500), usd(50), usd(0))
        for fee in (0, 15)
    ),
    ShownOfDispute(Money(-450, "EUR"), Moved(usd(-500), 15)),
    ShownOfDispute(Money(-450, "EUR"), Moved(usd(-499), 15)),
    ShownOfDispute(Money(-450, "EUR"), Moved(None, 15)),
    ShownOfDispute(Money(45, "EUR"), Moved(None)),
    ShownOfDispute(Money(-450, "EUR"), Moved(Money(-500, "GBP"), 15)),
]


def test_refunds_disputes_and_payouts_are_judged_as_they_are_specified(owner: Engine) -> None:
    expected: dict[int, Outcome] = {}
    rows: list[dict[str, Any]] = []
    back: list[dict[str, Any]] = []
    n = 0
    with owner.begin() as conn:
        off(conn)
        run_id = begin(conn)
        for kind, state, amount, young, returned in itertools.product(
            REFUNDS,
            (None, *REFUND_STATES),
            (500, 499),
            (False, True),
            (False, True),
        ):
            failure = kind is MovementKind.REFUND_FAILURE
            n += 1
            mine = None if state is None else MoneyOut(Money(500, "USD"), state)
            theirs = Money(amount, "USD")
            expected[n] = judge_refund(
                mine, theirs, failure=failure, young=young, returned=returned
            )
            if returned and not failure:
                back.append(
                    row(
                        run_id,
                        100_000 + n,
                        kind="refund_failure",
                        source_id=f"re_{n}",
                        amount=500,
                        currency="USD",
                    )
                )
            if mine is not None:
                put_refund(conn, n, mine)
            rows.append(
                row(
                    run_id,
                    n,
                    kind=str(kind),
                    source_id=f"re_{n}",
                    amount=amount if failure else -amount,
                    currency="USD",
                    created=NOW if young else NOW - timedelta(days=1),
                )
            )
        for kind, whose, booked, shown, young in itertools.product(
            DISPUTES,
            ("ours", "not ours", None),
            (None, Moved(usd(-500), 15), Moved(usd(50)), Moved(usd(0), 15)),
            SHOWN_OF_DISPUTES,
            (False, True),
        ):
            n += 1
            ours = MoneyOut(usd(500)) if whose == "ours" else None
            expected[n] = judge_dispute(
                ours, shown.customer, young=young, booked=None if ours is None else booked
            )
            if whose is not None:
                put_dispute(conn, n, ours=ours is not None, booked=booked)
            told = shown.customer.money
            foreign = shown.balance.currency != "USD"
            rows.append(
                row(
                    run_id,
                    n,
                    kind=str(kind),
                    source_id=f"dp_{n}",
                    amount=shown.balance.amount,
                    currency=shown.balance.currency,
                    fee=shown.customer.fee,
                    customer_amount=told.amount if told is not None and foreign else None,
                    customer_currency=told.currency if told is not None and foreign else None,
                    created=NOW if young else NOW - timedelta(days=1),
                )
            )
        for kind, known, amount in itertools.product(PAYOUTS, (True, False), (500, 499)):
            n += 1
            payout = Money(500, "USD") if known else None
            expected[n] = judge_payout(payout, Money(-amount, "USD"))
            if known:
                conn.execute(
                    text(
                        "INSERT INTO payouts VALUES (:id, 500, 'USD', 'paid', now(), NULL, now(),"
                        " 'stripe')"
                    ),
                    {"id": f"po_{n}"},
                )
            rows.append(
                row(
                    run_id, n, kind=str(kind), source_id=f"po_{n}", amount=-amount,
                    currency="USD",
                )
            )  # fmt: skip
        staging.stage(conn, rows + back)
        found = {number: outcome for number, outcome in judged(conn).items() if number <= n}

    assert found == {number: str(outcome) for number, outcome in expected.items()}


def put_refund(conn: Any, n: int, ours: MoneyOut) -> None:
    over = ours.state in ("succeeded", "failed", "canceled")
    conn.execute(
        text(
            "INSERT INTO refunds (provider, id, payment_id, customer_id, amount, recognised,"
            " deferred, tax, currency, state, reason, requested_by,"
            " provider_refund_id, dispatch_after, created_at, finished_at, next_attempt_at)"
            " VALUES ('stripe', :id, :id, :customer, :amount, :amount, 0, 0, 'USD', :state, 'r',"
            " 'r', :key, now(), now(), :finished, :next)"
        ),
        {
            "id": new_id(),
            "customer": CUSTOMER,
            "amount": ours.money.amount,
            "state": ours.state,
            "key": f"re_{n}",
            "finished": NOW if over else None,
            "next": None if over else NOW,
        },
    )


def put_dispute(conn: Any, n: int, *, ours: bool, booked: Moved | None) -> None:
    id_, transaction = new_id(), f"txn_{n:06}"
    conn.execute(
        text(
            "INSERT INTO disputes (provider, id, provider_dispute_id, payment_id,"
            " provider_charge_id, amount, currency, reason, stage, state, transaction_ids,"
            " opened_at, updated_at)"
            " VALUES ('stripe', :id, :dispute, :payment, 'ch', 500, 'USD', 'r', 'under_review',"
            " 'opened',"
            " :booked, now(), now())"
        ),
        {
            "id": id_,
            "dispute": f"dp_{n}",
            "payment": new_id() if ours else None,
            "booked": [] if booked is None else [transaction],
        },
    )
    if booked is None or booked.money is None:
        return
    recipe = recipes.dispute_won if booked.money.amount > 0 else recipes.dispute_opened
    entry = recipe(
        dispute_id=id_,
        customer_id=None,
        provider="stripe",
        transaction_id=transaction,
        amount=abs(booked.money),
        fee=usd(booked.fee),
        effective_at=NOW,
    )
    posting.post(conn, [entry])


@pytest.mark.parametrize(
    ("category", "outcome"),
    [
        ("fee", "matched"),
        ("network_cost", "matched"),
        ("tax", "matched"),
        ("topup", "unknown_at_provider"),
        ("risk_reserved_funds", "matched"),
        ("contribution", "matched"),
        ("transfer", "unknown_at_provider"),
        ("other_adjustment", "unknown_at_provider"),
    ],
)
def test_costs_match_and_what_this_engine_never_does_is_unknown(
    owner: Engine, category: str, outcome: str
) -> None:
    with owner.begin() as conn:
        off(conn)
        run_id = begin(conn)
        staging.stage(
            conn,
            [
                row(
                    run_id,
                    1,
                    kind=str(movement_kind(category)),
                    category=category,
                    amount=-100,
                    currency="USD",
                )
            ],
        )

        assert judged(conn) == {1: outcome}
