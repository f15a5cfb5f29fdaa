"""From Stripe's JSON to our values, as text off the wire where exactness matters."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from billing.errors import BadInput, Unavailable
from billing.gateway import (
    BalanceTransaction,
    DisputeStage,
    EventKind,
    PaymentMethodDetails,
    PaymentMethodKind,
    ProviderDispute,
    ProviderEvent,
    ProviderPayment,
    ProviderPayout,
    ProviderRefund,
    RefundFailure,
    RefundStatus,
)
from billing.gateway.kinds import PaymentStatus, PayoutStatus
from billing.gateway.objects import ListedPage, unreadable_in
from billing.gateway.stripe.gateway import StripeGateway
from billing.rules.money import Money
from billing.rules.reconciliation import MovementKind
from tests.unit.stripe_script import SENT, Reply, asked, error, gateway_with, intent, page

CREATED = int(SENT.timestamp())
LATER = SENT + timedelta(days=2)

CHARGE = {
    "id": "ch_1", "object": "charge", "amount": 1000, "amount_captured": 800, "currency": "jpy",
    "payment_intent": "pi_1", "metadata": {"payment": "pay_1"},
}  # fmt: skip
REFUND = {
    "id": "re_1", "object": "refund", "amount": 300, "currency": "jpy", "charge": "ch_1",
    "payment_intent": "pi_1", "status": "succeeded", "created": CREATED,
    "metadata": {"refund": "r_1"},
}  # fmt: skip
DISPUTE = {
    "id": "dp_1", "object": "dispute", "amount": 800, "currency": "jpy", "charge": "ch_1",
    "payment_intent": "pi_1", "status": "needs_response", "reason": "fraudulent",
    "created": CREATED, "balance_transactions": [], "metadata": {},
}  # fmt: skip
PAYOUT = {
    "id": "po_1", "object": "payout", "amount": 5000, "currency": "usd", "status": "paid",
    "created": CREATED, "arrival_date": int(LATER.timestamp()), "metadata": None,
}  # fmt: skip


def movement(**changes: object) -> dict[str, object]:
    return {
        "id": "txn_1", "object": "balance_transaction", "type": "charge",
        "reporting_category": "charge", "amount": 536, "fee": 46, "net": 490, "currency": "usd",
        "exchange_rate": None, "source": CHARGE, "created": CREATED,
        "available_on": int(LATER.timestamp()), **changes,
    }  # fmt: skip


def only(reply: Reply) -> BalanceTransaction:
    ((found,),) = gateway_with(reply).list_balance_transactions(since=SENT, until=LATER)
    return found


def test_a_charge_moves_money_in_two_currencies() -> None:
    reply = Reply(200, page(movement()).encoded().replace(b"null", b"0.67012345678901234567"))

    assert only(reply) == BalanceTransaction(
        id="txn_1",
        kind=MovementKind.CHARGE,
        category="charge",
        type="charge",
        amount=536,
        fee=46,
        net=490,
        currency="USD",
        source_id="ch_1",
        provider_charge_id="ch_1",
        provider_payment_id="pi_1",
        customer_money=Money(800, "JPY"),
        exchange_rate="0.0067012345678901234567",
        payout_id=None,
        created=SENT,
        available_on=LATER,
        metadata={"payment": "pay_1"},
    )


Seen = tuple[str | None, str | None, str | None, Money | None]

# what changes in the movement; charge, payment, payout and the customer's money as read
SOURCES: dict[str, tuple[dict[str, object], Seen]] = {
    "refund": (
        {"type": "refund", "amount": -201, "net": -247, "source": REFUND},
        ("ch_1", "pi_1", None, Money(-300, "JPY")),
    ),
    "refund that failed": (
        {"type": "refund_failure", "amount": 201, "fee": 0, "net": 201, "source": REFUND},
        ("ch_1", "pi_1", None, Money(300, "JPY")),
    ),
    "chargeback": (
        {"type": "adjustment", "amount": -536, "fee": 1500, "net": -2036, "source": DISPUTE},
        ("ch_1", "pi_1", None, Money(-800, "JPY")),
    ),
    "chargeback won": (
        {"type": "adjustment", "fee": 0, "net": 536, "source": DISPUTE},
        ("ch_1", "pi_1", None, Money(800, "JPY")),
    ),
    "payout": (
        {"type": "payout", "amount": -5000, "fee": 0, "net": -5000, "source": PAYOUT},
        (None, None, "po_1", None),
    ),
    "fee of nobody's": (
        {"type": "stripe_fee", "amount": -10, "fee": 0, "net": -10, "source": None},
        (None, None, None, None),
    ),
    "part of a charge": (
        {"type": "adjustment", "amount": -5, "fee": 0, "net": -5},
        ("ch_1", "pi_1", None, None),
    ),
    "the same currency on both sides": (
        {"source": {**CHARGE, "currency": "usd", "amount_captured": 536}},
        ("ch_1", "pi_1", None, Money(536, "USD")),
    ),
    "charge the key may not read": ({"source": "ch_1"}, ("ch_1", None, None, None)),
    "payment the key may not read": ({"source": "py_1"}, ("py_1", None, None, None)),
    "payout the key may not read": ({"source": "po_1"}, (None, None, "po_1", None)),
    "source of another kind": (
        {"source": {"id": "tu_1", "object": "topup", "amount": 1, "currency": "usd"}},
        (None, None, None, None),
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_movement_is_traced_to_what_it_is_about(name: str) -> None:
    changes, seen = SOURCES[name]

    found = only(page(movement(**changes)))

    assert seen == (
        found.provider_charge_id,
        found.provider_payment_id,
        found.payout_id,
        found.customer_money,
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (
            b"1.0700000000000000621724893790087662637233734130859375",
            "0.010700000000000000621724893790087662637233734130859375",
        ),
        (b"0.1", "0.001"),
        (b"1", "0.01"),
        (b"6.5e-05", "0.00000065"),
        (b"null", None),
    ],
)
def test_an_exchange_rate_in_major_units_keeps_every_digit(
    written: bytes, read: str | None
) -> None:
    reply = Reply(200, page(movement()).encoded().replace(b"null", written))

    assert only(reply).exchange_rate == read


@pytest.mark.parametrize(
    "broken",
    [
        {"exchange_rate": float("nan")},
        {"exchange_rate": True},
        {"exchange_rate": -0.5},
        {"net": 491},
        {"amount": 1.5},
        {"amount": None},
        {"currency": "zzz"},
        {"reporting_category": None},
        {"object": "charge"},
        {"created": 10**18},
        {"created": 253402300799},
        {"amount": 10**16, "net": 10**16 - 46},
        {"exchange_rate": "1e999999999"},
    ],
    ids=str,
)
def test_a_movement_that_makes_no_sense_is_named_and_stops_no_other(
    broken: dict[str, object],
) -> None:
    bad = movement(**broken)
    gateway = gateway_with(page(movement(id="txn_0"), bad, movement(id="txn_2")))

    (found,) = gateway.list_balance_transactions(since=SENT, until=LATER)

    assert [each.id for each in found] == ["txn_0", "txn_2"]
    (unreadable,) = unreadable_in(found)
    assert (unreadable.id, unreadable.type) == ("txn_1", bad["object"])
    assert unreadable.problem


def test_an_unreadable_object_without_an_id_has_the_same_name_every_time() -> None:
    def listed(**changes: object) -> str:
        bad = {**movement(**changes), "id": None}
        (found,) = gateway_with(page(bad, movement())).list_balance_transactions(since=SENT)
        (unreadable,) = unreadable_in(found)
        return unreadable.id

    assert listed() == listed() != listed(amount=1)


def test_a_page_ends_with_its_last_object_though_that_can_not_be_read() -> None:
    gateway = gateway_with(page(movement(), movement(id="txn_2", currency="zzz")))

    (found,) = gateway.list_balance_transactions(since=SENT, until=LATER)

    assert isinstance(found, ListedPage)
    assert found.last_id == "txn_2"


def test_movements_are_counted_in_our_minor_units() -> None:
    found = only(page(movement(amount=50000, fee=100, net=49900, currency="isk", source=None)))

    assert (found.amount, found.fee, found.net, found.currency) == (500, 1, 499, "ISK")


def test_a_listing_is_resumed_after_the_last_movement_seen() -> None:
    gateway = gateway_with(page(movement(), has_more=True), page(movement(id="txn_2")))

    pages = list(gateway.list_balance_transactions(since=SENT, until=LATER, after="txn_0"))

    assert [[found.id for found in each] for each in pages] == [["txn_1"], ["txn_2"]]
    window = f"created[gte]={CREATED}&created[lt]={int(LATER.timestamp())}"
    start = f"/v1/balance_transactions?{window}&expand[0]=data.source&starting_after="
    assert asked(gateway) == [
        ("get", f"{start}txn_0&limit=100"),
        ("get", f"{start}txn_1&limit=100"),
    ]


def test_what_a_payout_carried_says_so() -> None:
    gateway = gateway_with(page(movement()))

    ((found,),) = gateway.list_balance_transactions(since=None, payout="po_1")

    assert found.payout_id == "po_1"
    path = "/v1/balance_transactions?expand[0]=data.source&payout=po_1&limit=100"
    assert asked(gateway) == [("get", path)]


def test_a_dispute_brings_its_movements() -> None:
    taken = movement(type="adjustment", amount=-536, fee=1500, net=-2036, source="dp_1")
    reply = Reply(200, {**DISPUTE, "balance_transactions": [taken]})

    found = gateway_with(reply).dispute_by_id("dp_1")

    assert found is not None
    (move,) = found.balance_transactions
    assert (found.amount, found.is_inquiry) == (Money(800, "JPY"), False)
    assert (move.net, move.source_id) == (-2036, "dp_1")
    assert (move.provider_charge_id, move.provider_payment_id) == ("ch_1", "pi_1")
    assert move.customer_money == Money(-800, "JPY")


@pytest.mark.parametrize(
    ("status", "stage", "inquiry"),
    [
        ("warning_needs_response", DisputeStage.NEEDS_RESPONSE, True),
        ("warning_under_review", DisputeStage.UNDER_REVIEW, True),
        ("warning_closed", DisputeStage.CLOSED, True),
        ("warning_of_tomorrow", DisputeStage.UNKNOWN, True),
        ("needs_response", DisputeStage.NEEDS_RESPONSE, False),
        ("under_review", DisputeStage.UNDER_REVIEW, False),
        ("won", DisputeStage.WON, False),
        ("lost", DisputeStage.LOST, False),
        ("a_word_of_tomorrow", DisputeStage.UNKNOWN, False),
    ],
)
def test_an_inquiry_is_no_chargeback(status: str, stage: DisputeStage, inquiry: bool) -> None:
    found = gateway_with(Reply(200, {**DISPUTE, "status": status})).dispute_by_id("dp_1")

    assert found is not None
    assert (found.stage, found.is_inquiry) == (stage, inquiry)


CARD = {
    "id": "pm_1", "object": "payment_method", "type": "card",
    "card": {"brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2030},
}  # fmt: skip
EVENT = {
    "id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "created": CREATED,
    "data": {"object": intent()},
}  # fmt: skip

Ask = Callable[[StripeGateway], Any]

# path, Stripe's object, how to ask for it, what it is read as
BY_ID: dict[str, tuple[str, Mapping[str, object], Ask, object]] = {
    "payment": (
        "/v1/payment_intents/pi_1",
        intent(),
        lambda gateway: gateway.payment("pi_1"),
        ProviderPayment(
            "pi_1", PaymentStatus.CAPTURED, Money(999, "USD"), Money(999, "USD"), "cus_1", "ch_1",
            {"payment": "pay_1", "key": "live:sub_1:2026-03-01:a1"}, SENT,
        ),
    ),
    "refund": (
        "/v1/refunds/re_1",
        {**REFUND, "status": "failed", "failure_reason": "declined"},
        lambda gateway: gateway.refund_by_id("re_1"),
        ProviderRefund(
            "re_1", "pi_1", "ch_1", Money(300, "JPY"), RefundStatus.FAILED, SENT,
            RefundFailure.DECLINED,
            {"refund": "r_1"},
        ),
    ),
    "dispute": (
        "/v1/disputes/dp_1",
        DISPUTE,
        lambda gateway: gateway.dispute_by_id("dp_1"),
        ProviderDispute(
            "dp_1", "ch_1", "pi_1", Money(800, "JPY"), DisputeStage.NEEDS_RESPONSE, "fraudulent",
            SENT, False,
        ),
    ),
    "payout": (
        "/v1/payouts/po_1",
        PAYOUT,
        lambda gateway: gateway.payout_by_id("po_1"),
        ProviderPayout("po_1", Money(5000, "USD"), PayoutStatus.PAID, SENT, LATER),
    ),
    "payment method": (
        "/v1/payment_methods/pm_1",
        CARD,
        lambda gateway: gateway.payment_method_by_id("pm_1"),
        PaymentMethodDetails("pm_1", PaymentMethodKind.CARD, "visa", "4242", 4, 2030),
    ),
}  # fmt: skip
each_by_id = pytest.mark.parametrize("name", BY_ID)


@each_by_id
def test_an_object_is_read_as_it_is_now(name: str) -> None:
    path, body, ask, expected = BY_ID[name]
    gateway = gateway_with(Reply(200, body))

    assert ask(gateway) == expected
    assert asked(gateway) == [("get", path)]


@each_by_id
def test_what_the_provider_does_not_have_is_none(name: str) -> None:
    missing = Reply(404, error("invalid_request_error", "resource_missing"))

    assert BY_ID[name][2](gateway_with(missing)) is None


@each_by_id
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(500, {}), Unavailable),
        (Reply(429, error("invalid_request_error")), Unavailable),
        (Reply(404, error("invalid_request_error")), BadInput),
        (Reply(401, error("invalid_request_error")), BadInput),
        (Reply(200, b"garbage"), Unavailable),
        (Reply(200, {"id": "pi_9", "object": "payment_intent"}), Unavailable),
    ],
    ids=["500", "429", "404 of something else", "401", "garbage", "another object"],
)
def test_no_answer_is_never_none(name: str, reply: Reply, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        BY_ID[name][2](gateway_with(reply))


@each_by_id
def test_an_object_of_another_kind_is_not_taken(name: str) -> None:
    _, body, ask, _ = BY_ID[name]

    with pytest.raises(Unavailable, match="expected a"):
        ask(gateway_with(Reply(200, {**body, "object": "teapot"})))


def test_a_payment_method_of_a_type_that_is_not_charged_is_not_taken() -> None:
    assert gateway_with(Reply(200, {**CARD, "card": None})).payment_method_by_id("pm_1") is None


PAYPAL = {
    "id": "pm_2",
    "object": "payment_method",
    "type": "paypal",
    "customer": "cus_1",
    "paypal": {"payer_email": "ada@example.com", "payer_id": "P1", "country": "DE"},
}
WALLET = PaymentMethodDetails(
    "pm_2", PaymentMethodKind.WALLET, "paypal", provider_customer_id="cus_1"
)


def test_of_a_wallet_its_name_is_read_and_nothing_of_its_owner() -> None:
    assert gateway_with(Reply(200, PAYPAL)).payment_method_by_id("pm_2") == WALLET


@pytest.mark.parametrize(
    ("status", "customer"), [("active", "cus_1"), ("pending", "cus_1"), ("inactive", None)]
)
def test_a_mandate_is_read_as_its_payment_method_which_is_nobodys_once_it_was_taken_back(
    status: str, customer: str | None
) -> None:
    mandate = {"id": "mandate_1", "object": "mandate", "status": status, "payment_method": PAYPAL}
    gateway = gateway_with(Reply(200, mandate))

    found = gateway.payment_method_by_id("mandate_1")

    assert found == replace(WALLET, provider_customer_id=customer)
    assert asked(gateway) == [("get", "/v1/mandates/mandate_1?expand[0]=payment_method")]


@pytest.mark.parametrize(
    ("method", "kind"), [(PAYPAL, "single_use"), ({**CARD, "customer": "cus_1"}, "multi_use")]
)
def test_a_mandate_that_was_used_up_or_a_cards_takes_nothing_from_its_customer(
    method: Mapping[str, object], kind: str
) -> None:
    mandate = {
        "id": "mandate_1",
        "object": "mandate",
        "status": "inactive",
        "type": kind,
        "payment_method": method,
    }

    found = gateway_with(Reply(200, mandate)).payment_method_by_id("mandate_1")

    assert found is not None
    assert found.provider_customer_id == "cus_1"


def test_a_mandate_of_what_is_not_charged_is_no_payment_method() -> None:
    sepa = {"id": "pm_3", "object": "payment_method", "type": "sepa_debit", "customer": "cus_1"}
    mandate = {"id": "mandate_1", "object": "mandate", "status": "active", "payment_method": sepa}

    assert gateway_with(Reply(200, mandate)).payment_method_by_id("mandate_1") is None


WINDOW = f"created[gte]={CREATED}&created[lt]={CREATED + 1}&limit=100"
SOON = SENT + timedelta(seconds=0.5)

# path, Stripe's object, how to list it
LISTS: dict[str, tuple[str, Mapping[str, object], Ask]] = {
    "refunds": (
        f"/v1/refunds?{WINDOW}",
        REFUND,
        lambda gateway: gateway.list_refunds(since=SENT, until=SOON),
    ),
    "disputes": (
        f"/v1/disputes?{WINDOW}",
        DISPUTE,
        lambda gateway: gateway.list_disputes(since=SENT, until=SOON),
    ),
    "payouts": (
        f"/v1/payouts?{WINDOW}",
        PAYOUT,
        lambda gateway: gateway.list_payouts(since=SENT, until=SOON),
    ),
    "events": (
        f"/v1/events?created[gte]={CREATED}&limit=100",
        EVENT,
        lambda gateway: gateway.list_events(since=SENT),
    ),
    "undelivered events": (
        f"/v1/events?created[gte]={CREATED}&delivery_success=false&limit=100",
        EVENT,
        lambda gateway: gateway.list_events(since=SENT, undelivered_only=True),
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_read_page_by_page(name: str) -> None:
    path, body, ask = LISTS[name]
    gateway = gateway_with(page(body, has_more=True), page({**body, "id": "x_2"}))

    pages = [[value.id for value in values] for values in ask(gateway)]

    assert pages == [[body["id"]], ["x_2"]]
    assert asked(gateway) == [("get", path), ("get", f"{path}&starting_after={body['id']}")]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_breaks_off_says_so_after_its_good_pages(name: str) -> None:
    _, body, ask = LISTS[name]
    pages = ask(gateway_with(page(body, has_more=True), Reply(500, {})))

    assert len(next(pages)) == 1
    with pytest.raises(Unavailable):
        next(pages)


def test_an_event_carries_nothing_of_its_object() -> None:
    ((event,),) = gateway_with(page(EVENT)).list_events(since=SENT)

    assert event == ProviderEvent(
        id="evt_1",
        type="payment_intent.succeeded",
        kind=EventKind.PAYMENT_SUCCEEDED,
        object_type="payment_intent",
        object_id="pi_1",
        created=SENT,
        payload={
            "id": "evt_1",
            "type": "payment_intent.succeeded",
            "object_type": "payment_intent",
            "object_id": "pi_1",
            "created": CREATED,
        },
    )
    assert json.loads(json.dumps(event.payload)) == event.payload


def test_a_payout_may_take_money_and_have_no_day_of_arrival() -> None:
    reply = Reply(200, {**PAYOUT, "amount": -5000, "arrival_date": None})

    found = gateway_with(reply).payout_by_id("po_1")

    assert found == ProviderPayout("po_1", Money(-5000, "USD"), PayoutStatus.PAID, SENT, None)


def test_the_balance_is_what_is_available_and_what_is_pending() -> None:
    balance = {
        "object": "balance",
        "available": [{"amount": 700, "currency": "usd"}, {"amount": -200, "currency": "isk"}],
        "pending": [
            {"amount": -900, "currency": "usd"},
            {"amount": 40, "currency": "jpy"},
            {"amount": 3, "currency": "usdc"},
        ],
        "instant_available": [{"amount": 700, "currency": "usd"}],
    }

    found = gateway_with(Reply(200, balance)).balance()

    assert found == {"USD": -200, "ISK": -2, "JPY": 40}


@pytest.mark.parametrize("body", [{"object": "balance", "available": []}, {"object": "charge"}])
def test_a_balance_that_can_not_be_read_is_none_at_all(body: object) -> None:
    with pytest.raises(Unavailable, match="balance"):
        gateway_with(Reply(200, body)).balance()


@pytest.mark.parametrize(
    ("written", "kind"),
    [("stripe_fee", MovementKind.FEE), ("payment", MovementKind.CHARGE),
     ("payout_failure", MovementKind.PAYOUT_FAILURE), ("refund", MovementKind.REFUND),
     ("a_category_of_next_year", MovementKind.OTHER)],
)  # fmt: skip
def test_a_movement_that_shows_its_type_is_of_the_kind_of_that_type(
    written: str, kind: MovementKind
) -> None:
    found = only(page(movement(reporting_category=written)))

    assert (found.kind, found.category) == (kind, written)
