"""Refunds, captures, disputes, payouts, events and the balance, against the sandbox.

Everything that is sent is held against Stripe's own document when a test ends.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from billing.errors import BadInput, Unavailable
from billing.gateway import (
    Absent,
    BalanceTransaction,
    Deferred,
    Gateway,
    RefundAccepted,
    RefundOutcome,
    RefundRequest,
    Rejected,
    Succeeded,
    Unknown,
)
from billing.gateway.errors import SignatureRefused
from billing.gateway.stripe.signatures import verify
from billing.rules.money import Money
from billing.sandbox.webhooks.signing import signature_header
from tests.contract.conftest import Shop
from tests.contract.gateway_world import SENT, World, paid, unknown

ON_REFUNDS = {"method": "POST", "path": "/v1/refunds"}
ON_CAPTURES = {"method": "POST", "path": "/v1/payment_intents/"}
DAY = timedelta(days=1)
LONG_AGO = SENT - DAY


@pytest.fixture
def world(shop: Shop) -> Iterator[World]:
    world = World(shop)
    yield world
    world.gateway.close()
    assert world.problems() == []


def charged(world: World, token: str = "pm_card_visa", **changes: Any) -> Succeeded:
    return paid(world.gateway.charge(world.request(token, **changes), first_send=True))


def refund_of(payment: Succeeded, amount: int | None = None, n: int = 1) -> RefundRequest:
    money = payment.amount if amount is None else Money(amount, payment.amount.currency)
    return RefundRequest(
        f"test:refund:{n}", payment.provider_payment_id, money, {"refund": f"r_{n}"}
    )


def accepted(outcome: RefundOutcome | Absent) -> RefundAccepted:
    assert isinstance(outcome, RefundAccepted)
    return outcome


def refunded(world: World, payment: Succeeded) -> int:
    charges = [c for page in world.gateway.list_charges(since=LONG_AGO) for c in page]
    return sum(
        c.refunded_amount for c in charges if c.provider_payment_id == payment.provider_payment_id
    )


def movements(world: World, **filters: Any) -> list[BalanceTransaction]:
    window = {"since": LONG_AGO, **filters}
    return [m for page in world.gateway.list_balance_transactions(**window) for m in page]


# Refunds


def test_a_refund_is_sent_as_designed(world: World) -> None:
    payment = charged(world)
    request = refund_of(payment, 400)

    outcome = accepted(world.gateway.refund(request, first_send=True))

    method, path, pairs, headers = world.recorder.sent[-1]
    assert (method, path) == ("post", "/v1/refunds")
    assert dict(pairs) == {
        "payment_intent": payment.provider_payment_id,
        "amount": "400",
        "metadata[refund]": "r_1",
    }
    assert headers["Idempotency-Key"] == request.idempotency_key
    assert (outcome.status, outcome.amount) == ("succeeded", Money(400, "USD"))
    assert refunded(world, payment) == 400


def test_a_refund_asked_for_again_is_the_same_refund(world: World) -> None:
    payment = charged(world)
    first = accepted(world.gateway.refund(refund_of(payment), first_send=True))

    again = accepted(world.gateway.refund(refund_of(payment), first_send=False))

    assert again.provider_refund_id == first.provider_refund_id
    assert refunded(world, payment) == 999


FAULTS: list[tuple[str, type, int]] = [
    # fault; outcome on a first send (on a replay it is always unknown); refunded
    ("hang_before", Unknown, 0),
    ("reset_before", Unknown, 0),
    ("error_500_uncommitted", Unknown, 0),
    ("conflict_409", Unknown, 0),
    ("rate_limit_429", Deferred, 0),
    ("error_401", Deferred, 0),
    ("hang_after_commit", Unknown, 400),
    ("reset_after_commit", Unknown, 400),
    ("truncated_body", Unknown, 400),
    ("garbage_200", Unknown, 400),
    ("error_500", Unknown, 400),
]


@pytest.mark.parametrize(("kind", "first", "moved"), FAULTS)
@pytest.mark.parametrize("first_send", [True, False], ids=["first", "replay"])
def test_a_fault_is_never_taken_for_an_answer_to_a_refund(
    world: World, kind: str, first: type, moved: int, first_send: bool
) -> None:
    payment = charged(world)
    world.shop.fault(kind, match=ON_REFUNDS, delay_ms=100)

    outcome = world.gateway.refund(refund_of(payment, 400), first_send=first_send)

    assert isinstance(outcome, first if first_send else Unknown)
    assert refunded(world, payment) == moved


@pytest.mark.parametrize("kind", [kind for kind, *_ in FAULTS if kind != "error_500"])
def test_sent_again_under_its_key_a_refund_is_made_once(world: World, kind: str) -> None:
    payment = charged(world)
    world.shop.fault(kind, match=ON_REFUNDS, delay_ms=100)
    world.gateway.refund(refund_of(payment, 400), first_send=True)

    accepted(world.gateway.refund(refund_of(payment, 400), first_send=False))

    assert refunded(world, payment) == 400


@pytest.mark.parametrize("kind", ["reset_after_commit", "error_500", "garbage_200"])
def test_a_lost_refund_is_found_a_day_later_without_a_second_one(world: World, kind: str) -> None:
    payment = charged(world)
    request = refund_of(payment, 400)
    accepted(world.gateway.refund(refund_of(payment, 400, n=2), first_send=True))
    world.shop.fault(kind, match=ON_REFUNDS)
    world.gateway.refund(request, first_send=True)
    world.at(SENT + timedelta(hours=25))

    found = accepted(world.gateway.look_up_refund(request, since=SENT))

    assert found.amount == Money(400, "USD")
    assert refunded(world, payment) == 800


def test_a_refund_that_never_happened_is_absent(world: World) -> None:
    payment = charged(world)
    accepted(world.gateway.refund(refund_of(payment, 400, n=2), first_send=True))
    world.shop.fault("reset_before", match=ON_REFUNDS)
    world.gateway.refund(refund_of(payment, 400), first_send=True)
    world.at(SENT + timedelta(hours=25))

    assert world.gateway.look_up_refund(refund_of(payment, 400), since=SENT) == Absent()


def test_a_key_that_was_forgotten_does_not_hide_the_refund_it_made(world: World) -> None:
    payment = charged(world)
    world.shop.fault("reset_after_commit", match=ON_REFUNDS)
    world.gateway.refund(refund_of(payment), first_send=True)
    world.at(SENT + timedelta(hours=25))

    # To Stripe this is a new request, which it refuses because of the first.
    outcome = world.gateway.refund(refund_of(payment), first_send=False)

    assert accepted(outcome).amount == payment.amount
    assert refunded(world, payment) == 999


@pytest.mark.parametrize("first_send", [True, False])
def test_what_can_not_be_refunded_is_rejected(world: World, first_send: bool) -> None:
    payment = charged(world)
    more = world.gateway.refund(refund_of(payment, 1000), first_send=first_send)
    accepted(world.gateway.refund(refund_of(payment, n=2), first_send=True))

    again = world.gateway.refund(refund_of(payment, n=3), first_send=first_send)
    nobody = replace(refund_of(payment, n=4), provider_payment_id="pi_nobody")
    missing = world.gateway.refund(nobody, first_send=first_send)

    assert [getattr(o, "error_class", o) for o in (more, again, missing)] == [
        "invalid_request",
        "charge_already_refunded",
        "resource_missing",
    ]
    assert {type(o) for o in (more, again, missing)} == {Rejected}
    assert refunded(world, payment) == 999


def test_a_refund_may_fail_after_it_succeeded(world: World) -> None:
    payment = charged(world)
    made = accepted(world.gateway.refund(refund_of(payment), first_send=True))
    world.shop.control(
        "POST",
        f"refunds/{made.provider_refund_id}",
        status="failed",
        failure_reason="lost_or_stolen_card",
    )

    now = world.gateway.refund_by_id(made.provider_refund_id)
    listed = [r for page in world.gateway.list_refunds(since=LONG_AGO) for r in page]

    assert now is not None
    assert listed == [now]
    assert (now.status, now.failure_reason) == ("failed", "payment_method_lost")
    assert (now.amount, now.provider_payment_id) == (payment.amount, payment.provider_payment_id)
    assert now.metadata == {"refund": "r_1"}
    assert refunded(world, payment) == 0
    found = accepted(world.gateway.look_up_refund(refund_of(payment), since=SENT))
    assert found.status == "failed"


def test_a_refund_may_be_pending_for_a_while(world: World) -> None:
    world.shop.control("POST", "settings", refunds="pending", refund_delay_seconds=3600)
    payment = charged(world)
    made = accepted(world.gateway.refund(refund_of(payment), first_send=True))
    world.at(SENT + timedelta(hours=2))

    now = world.gateway.refund_by_id(made.provider_refund_id)

    assert made.status == "pending"
    assert now is not None
    assert now.status == "succeeded"


def test_refunds_keep_our_minor_units(world: World) -> None:
    payment = charged(world, amount=Money(500, "ISK"))

    outcome = accepted(world.gateway.refund(refund_of(payment, 200), first_send=True))

    assert dict(world.recorder.sent[-1][2])["amount"] == "20000"
    assert outcome.amount == Money(200, "ISK")


# Captures


def authorised(world: World) -> Succeeded:
    payment = charged(world, manual_capture=True)
    assert not payment.captured
    return payment


@pytest.mark.parametrize("amount", [999, 500])
def test_an_authorisation_is_captured_whole_or_in_part(world: World, amount: int) -> None:
    payment = authorised(world)

    outcome = paid(
        world.gateway.capture(
            payment.provider_payment_id, Money(amount, "USD"), idempotency_key="c"
        )
    )

    _, path, pairs, headers = world.recorder.sent[-1]
    assert path == f"/v1/payment_intents/{payment.provider_payment_id}/capture"
    assert pairs == [("amount_to_capture", str(amount))]
    assert headers["Idempotency-Key"] == "c"
    assert (outcome.captured, outcome.amount) == (True, Money(amount, "USD"))
    now = world.gateway.payment(payment.provider_payment_id)
    assert now is not None
    assert (now.status, now.amount_received) == ("captured", Money(amount, "USD"))


@pytest.mark.parametrize("kind", ["reset_after_commit", "error_500", "garbage_200"])
@pytest.mark.parametrize("key", ["c", "another"])
def test_a_capture_whose_answer_was_lost_is_found(world: World, kind: str, key: str) -> None:
    payment = authorised(world)
    world.shop.fault(kind, match=ON_CAPTURES)
    whole = Money(999, "USD")
    unknown(world.gateway.capture(payment.provider_payment_id, whole, idempotency_key="c"))

    again = world.gateway.capture(payment.provider_payment_id, whole, idempotency_key=key)

    if kind == "error_500" and key == "c":  # Stripe replays it
        unknown(again)
        again = world.gateway.capture(payment.provider_payment_id, whole, idempotency_key="d")
    assert paid(again).amount == whole
    assert world.captures() == 1


def test_a_capture_of_another_sum_is_not_ours(world: World) -> None:
    payment = authorised(world)
    capture = world.gateway.capture
    paid(capture(payment.provider_payment_id, Money(500, "USD"), idempotency_key="c"))

    outcome = capture(payment.provider_payment_id, Money(600, "USD"), idempotency_key="d")

    assert unknown(outcome).error_class == "wrong_amount"


def test_more_than_was_authorised_is_rejected(world: World) -> None:
    payment = authorised(world)

    outcome = world.gateway.capture(
        payment.provider_payment_id, Money(1000, "USD"), idempotency_key="c"
    )

    assert isinstance(outcome, Rejected)
    assert outcome.error_class == "amount_too_large"


@pytest.mark.parametrize("how", ["canceled", "expired"])
def test_an_authorisation_that_is_gone_can_not_be_captured(world: World, how: str) -> None:
    payment = authorised(world)
    if how == "canceled":
        gone = world.gateway.cancel(payment.provider_payment_id, idempotency_key="x")
        assert gone == Absent()
    world.at(SENT + 8 * DAY)

    outcome = world.gateway.capture(
        payment.provider_payment_id, Money(999, "USD"), idempotency_key="c"
    )

    assert isinstance(outcome, Rejected)
    assert outcome.error_class == "payment_canceled"
    assert world.captures() == 0


# Disputes


def test_a_chargeback_takes_the_amount_and_a_fee(world: World) -> None:
    payment = charged(world)
    opened = world.shop.control(
        "POST", "disputes", payment_intent=payment.provider_payment_id, reason="duplicate"
    )

    found = world.gateway.dispute_by_id(opened["id"])

    assert found is not None
    assert [[found]] == [list(page) for page in world.gateway.list_disputes(since=LONG_AGO)]
    assert (found.stage, found.reason, found.is_inquiry) == ("needs_response", "duplicate", False)
    assert (found.amount, found.created) == (Money(999, "USD"), SENT)
    assert found.provider_payment_id == payment.provider_payment_id
    assert found.provider_charge_id == payment.provider_charge_id
    (taken,) = found.balance_transactions
    assert (taken.category, taken.amount, taken.fee, taken.net) == ("dispute", -999, 1500, -2499)
    assert taken in [
        replace(m, metadata=taken.metadata) for m in movements(world) if m.source_id == found.id
    ]


def test_a_chargeback_that_is_won_brings_the_amount_back(world: World) -> None:
    payment = charged(world)
    opened = world.shop.control("POST", "disputes", payment_intent=payment.provider_payment_id)
    world.shop.control("POST", f"disputes/{opened['id']}", outcome="won")

    found = world.gateway.dispute_by_id(opened["id"])

    assert found is not None
    assert found.stage == "won"
    assert [m.category for m in found.balance_transactions] == ["dispute", "dispute_reversal"]
    assert [m.customer_money for m in found.balance_transactions] == [
        Money(-999, "USD"),
        Money(999, "USD"),
    ]


def test_an_inquiry_moves_no_money(world: World) -> None:
    payment = charged(world)
    opened = world.shop.control(
        "POST", "disputes", payment_intent=payment.provider_payment_id, inquiry=True
    )

    found = world.gateway.dispute_by_id(opened["id"])

    assert found is not None
    assert (found.is_inquiry, found.balance_transactions) == (True, ())


def test_a_disputed_charge_can_not_be_refunded(world: World) -> None:
    payment = charged(world)
    world.shop.control("POST", "disputes", payment_intent=payment.provider_payment_id)

    outcome = world.gateway.refund(refund_of(payment), first_send=True)

    assert isinstance(outcome, Rejected)
    assert outcome.error_class == "charge_disputed"


# The balance


def test_every_movement_is_listed_and_they_make_the_balance(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.gateway.stripe.client.PAGE", 2)
    payment = charged(world)
    accepted(world.gateway.refund(refund_of(payment, 300), first_send=True))
    failed = accepted(world.gateway.refund(refund_of(payment, 100, n=2), first_send=True))
    world.shop.control("POST", f"refunds/{failed.provider_refund_id}", status="failed")
    charged(world, amount=Money(700, "EUR"), idempotency_key="eur", metadata={"key": "eur"})

    found = movements(world)

    assert sorted((m.category, m.amount, m.currency) for m in found) == [
        ("charge", 700, "EUR"),
        ("charge", 999, "USD"),
        ("refund", -300, "USD"),
        ("refund", -100, "USD"),
        ("refund_failure", 100, "USD"),
    ]
    sums: dict[str, int] = {}
    for movement in found:
        sums[movement.currency] = sums.get(movement.currency, 0) + movement.net
    assert world.gateway.balance() == sums
    ours = [m for m in found if m.currency == "USD"]
    assert {m.provider_payment_id for m in ours} == {payment.provider_payment_id}
    assert {m.provider_charge_id for m in ours} == {payment.provider_charge_id}
    by_refund = [m.metadata["refund"] for m in ours if m.category != "charge"]
    assert sorted(by_refund) == ["r_1", "r_2", "r_2"]
    assert [m.metadata["payment"] for m in ours if m.category == "charge"] == ["pay_1"]


def test_a_listing_that_was_cut_short_goes_on_after_its_last_movement(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.gateway.stripe.client.PAGE", 2)
    for n in range(5):
        world.at(SENT + n * DAY)
        charged(world, idempotency_key=f"k{n}", metadata={"n": str(n)})
    window = {"since": SENT, "until": SENT + 4 * DAY}
    world.shop.fault(
        "error_500_uncommitted", match={"method": "GET", "path": "/v1/balance_transactions"}
    )
    with pytest.raises(Unavailable):
        movements(world, **window)
    first = next(world.gateway.list_balance_transactions(since=SENT, until=SENT + 4 * DAY))

    rest = movements(world, **window, after=first[-1].id)

    assert [m.metadata["n"] for m in first] == ["3", "2"]
    assert [m.metadata["n"] for m in rest] == ["1", "0"]


def test_money_that_settles_in_another_currency_keeps_both_and_the_exact_rate(
    world: World,
) -> None:
    world.shop.control(
        "POST",
        "settings",
        settlement_currency={"jpy": "usd"},
        exchange_rates={"jpy:usd": "0.006700123457"},
    )
    payment = charged(world, amount=Money(120_000, "JPY"))
    accepted(world.gateway.refund(refund_of(payment, 20_000), first_send=True))

    refund, charge = movements(world)

    assert (charge.amount, charge.currency) == (80_401, "USD")
    assert charge.customer_money == Money(120_000, "JPY")
    assert (refund.amount, refund.customer_money) == (-13_400, Money(-20_000, "JPY"))
    assert charge.exchange_rate is not None
    assert Fraction(charge.exchange_rate) == Fraction("0.006700123457")
    assert charge.net == charge.amount - charge.fee


# Payouts


def test_a_payout_is_read_with_what_it_carried(world: World) -> None:
    payment = charged(world)
    world.at(SENT + 3 * DAY)
    made = world.shop.control("POST", "payouts", currency="usd")
    after = SENT + 3 * DAY

    found = world.gateway.payout_by_id(made["id"])
    carried = movements(world, since=None, payout=made["id"])

    assert found is not None
    assert [[found]] == [list(page) for page in world.gateway.list_payouts(since=after)]
    assert (found.status, found.created, found.arrival) == ("pending", after, after + 2 * DAY)
    assert found.amount == Money(made["amount"], "USD")
    assert {m.payout_id for m in carried} == {found.id}
    assert sorted(m.category for m in carried) == ["charge", "payout"]
    assert sum(m.net for m in carried) == 0
    assert [m.provider_payment_id for m in carried if m.category == "charge"] == [
        payment.provider_payment_id
    ]
    own = [m for m in movements(world) if m.payout_id]
    assert [(m.category, m.payout_id, m.net) for m in own] == [
        ("payout", found.id, -found.amount.amount)
    ]
    world.at(after + 3 * DAY)
    arrived = world.gateway.payout_by_id(found.id)
    assert arrived is not None
    assert arrived.status == "paid"


def test_a_payout_may_fail_and_the_money_comes_back(world: World) -> None:
    charged(world)
    world.at(SENT + 3 * DAY)
    made = world.shop.control("POST", "payouts", currency="usd")
    before = world.gateway.balance()
    world.shop.control("POST", f"payouts/{made['id']}", status="failed")

    found = world.gateway.payout_by_id(made["id"])

    assert found is not None
    assert found.status == "failed"
    assert before["USD"] == 0
    assert world.gateway.balance() == {"USD": found.amount.amount}
    newest = movements(world)[0]
    assert (newest.category, newest.payout_id) == ("payout_reversal", found.id)


# Events


def test_events_name_objects_and_carry_nothing_of_them(world: World) -> None:
    payment = charged(world)

    events = [e for page in world.gateway.list_events(since=LONG_AGO) for e in page]

    (done,) = [e for e in events if e.type == "payment_intent.succeeded"]
    assert (done.object_type, done.object_id) == ("payment_intent", payment.provider_payment_id)
    assert done.created == SENT
    assert "4242" not in repr(events)


def test_events_whose_delivery_failed_are_found(world: World) -> None:
    world.shop.control("POST", "webhooks", url="http://127.0.0.1:9/nobody")
    payment = charged(world)

    missed = [
        event
        for page in world.gateway.list_events(since=LONG_AGO, undelivered_only=True)
        for event in page
    ]

    assert payment.provider_payment_id in {event.object_id for event in missed}
    query = dict(world.recorder.sent[-1][2])
    assert query["delivery_success"] == "false"


def test_without_missed_deliveries_no_event_is_undelivered(world: World) -> None:
    charged(world)

    assert list(world.gateway.list_events(since=LONG_AGO, undelivered_only=True)) == []


def test_the_sandboxs_signatures_are_the_providers() -> None:
    body = (
        b'{"id": "evt_1", "object": "event", "type": "t", "created": 1,'
        b' "data": {"object": {"object": "charge", "id": "ch_1"}}}'
    )
    header = signature_header(body, ["whsec_new", "whsec_old"], int(SENT.timestamp()))
    minute = timedelta(minutes=1)

    assert verify(body, header, ["whsec_old"], wall=SENT, tolerance=minute).id == "evt_1"
    with pytest.raises(SignatureRefused):
        verify(body, header, ["whsec_older"], wall=SENT, tolerance=minute)


# By id


def test_a_payment_is_read_as_it_is_now(world: World) -> None:
    payment = charged(world)

    now = world.gateway.payment(payment.provider_payment_id)

    assert now is not None
    assert (now.status, now.amount, now.amount_received) == (
        "captured",
        payment.amount,
        payment.amount,
    )
    assert (now.customer, now.latest_charge_id) == (world.customer, payment.provider_charge_id)
    assert now.metadata["payment"] == "pay_1"
    assert now.created == SENT


def test_a_card_that_the_network_renewed_is_read_as_it_is_now(world: World) -> None:
    request = world.request()
    world.shop.control(
        "POST", f"payment_methods/{request.payment_method}", exp_month=7, exp_year=2031
    )

    card = world.gateway.payment_method_by_id(request.payment_method)

    assert card is not None
    assert (card.token, card.exp_month, card.exp_year) == (request.payment_method, 7, 2031)


def test_what_is_not_there_is_none_and_a_fault_is_not(world: World) -> None:
    gateway: Gateway = world.gateway
    asks = [
        gateway.payment,
        gateway.refund_by_id,
        gateway.dispute_by_id,
        gateway.payout_by_id,
        gateway.payment_method_by_id,
    ]

    assert [ask("xx_nobody") for ask in asks] == [None] * 5
    for ask in asks:
        world.shop.fault("error_500_uncommitted")
        with pytest.raises(Unavailable):
            ask("xx_nobody")
        with pytest.raises(BadInput, match="empty"):
            ask(" ")
