"""Notifications as events: those that the SDK makes for tests, and those that the sandbox posts."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from billing.errors import BadInput
from billing.gateway import EventKind, ProviderEvent
from billing.gateway.braintree.delivery import verify
from billing.gateway.errors import SignatureRefused
from tests.contract.braintree.shop import BEGIN, DAY, PAYPAL, Shop
from tests.contract.braintree.test_webhooks import Receiver, receiving, settle
from tests.contract.braintree.till import refund_of, till

TOLERANCE = timedelta(days=30)


def events_of(receiver: Receiver, shop: Shop) -> list[ProviderEvent]:
    """Return the events of what came."""
    wall = datetime.fromtimestamp(shop.now, UTC)
    keys = f"public_{shop.merchant}:private"
    return [
        verify(
            urlencode({"bt_signature": signature, "bt_payload": payload}).encode(),
            [keys],
            wall=wall,
            tolerance=TOLERANCE,
        )
        for signature, payload in receiver.posts
    ]


def sample(shop: Shop, kind: str, subject: str = "my_id") -> ProviderEvent:
    """Return the event of a notification that the SDK makes for tests."""
    made: dict[str, Any] = shop.gateway.webhook_testing.sample_notification(kind, subject)
    keys = f"public_{shop.merchant}:private"
    body = urlencode(made).encode()
    far = datetime(2100, 1, 1, tzinfo=UTC)
    return verify(body, [keys], wall=far, tolerance=timedelta(days=365 * 200))


@pytest.mark.parametrize(
    ("kind", "expected", "subject"),
    [
        ("transaction_settled", EventKind.PAYMENT_SUCCEEDED, "my_id"),
        ("transaction_settlement_declined", EventKind.PAYMENT_FAILED, "my_id"),
        ("transaction_disbursed", EventKind.OTHER, "my_id"),
        ("dispute_opened", EventKind.DISPUTE_OPENED, "my_id"),
        ("dispute_won", EventKind.DISPUTE_CLOSED, "my_id"),
        ("dispute_lost", EventKind.DISPUTE_CLOSED, "my_id"),
        ("dispute_under_review", EventKind.DISPUTE_UPDATED, "my_id"),
        ("payment_method_revoked_by_customer", EventKind.PAYMENT_METHOD_DETACHED, "my_id"),
        ("refund_failed", EventKind.REFUND_UPDATED, "my_id"),
        ("check", EventKind.OTHER, ""),
        ("subscription_canceled", EventKind.OTHER, "my_id"),
    ],
)
def test_the_sdks_own_notifications_are_read(
    shop: Shop, kind: str, expected: EventKind, subject: str
) -> None:
    event = sample(shop, kind)

    assert (event.type, event.kind, event.object_id) == (kind, expected, subject)


@pytest.mark.parametrize(
    "kind", ["disbursement", "account_updater_daily_report", "local_payment_completed"]
)
def test_a_notification_of_any_subject_is_an_event(shop: Shop, kind: str) -> None:
    assert sample(shop, kind).type == kind


def test_what_happens_to_a_payment_names_what_can_be_read(shop: Shop) -> None:
    opened = till(shop)
    with receiving(shop) as receiver:
        sale = opened.settled()
        refund = opened.gateway.refund(refund_of(sale), first_send=True)
        shop.later(5 * DAY)
        settle(shop)
    events = events_of(receiver, shop)

    told = [(each.kind, each.object_id) for each in events if each.kind is not EventKind.OTHER]
    assert told == [
        (EventKind.PAYMENT_SUCCEEDED, sale.provider_payment_id),
        (EventKind.REFUND_UPDATED, refund.provider_refund_id),  # type: ignore[union-attr]
        (EventKind.PAYOUT_PAID, "2026-01-08_default"),
        (EventKind.PAYOUT_PAID, "2026-01-09_default"),
    ]
    assert opened.gateway.payment(told[0][1]) is not None
    assert opened.gateway.refund_by_id(told[1][1]) is not None
    assert opened.gateway.payout_by_id(told[2][1]) is not None
    opened.gateway.close()


def test_a_dispute_and_a_revoked_agreement_name_what_can_be_read(shop: Shop) -> None:
    opened = till(shop)
    token = opened.token(PAYPAL)
    with receiving(shop) as receiver:
        sale = opened.settled()
        made = opened.control("disputes", transaction=sale.provider_payment_id)
        opened.control(f"disputes/{made['id']}", status="won")
        opened.control(f"payment_methods/{token}", revoked=True)
        settle(shop)
    events = events_of(receiver, shop)
    opened.gateway.close()

    assert [(each.kind, each.object_id) for each in events[1:]] == [
        (EventKind.DISPUTE_OPENED, made["id"]),
        (EventKind.DISPUTE_CLOSED, made["id"]),
        (EventKind.PAYMENT_METHOD_DETACHED, token),
    ]


def test_a_disbursement_tells_its_amount_and_nothing_else_does(shop: Shop) -> None:
    with receiving(shop) as receiver:
        sale = shop.settled("10.00")
        shop.later(5 * DAY)
        shop.gateway.transaction.refund(sale.id, "4.00")
        shop.later(5 * DAY)
        settle(shop)
    events = events_of(receiver, shop)

    told = [each.payload["paid"] for each in events if "paid" in each.payload]
    assert told == [
        {"amount": 1000, "currency": "USD"},
        {"amount": -400, "currency": "USD"},
    ]
    assert [each.type for each in events if "paid" in each.payload] == ["disbursement"] * 2


def test_a_notification_that_is_delivered_twice_is_one_event(shop: Shop) -> None:
    with receiving(shop) as receiver:
        receiver.answers = [500]
        shop.settled()
        settle(shop)
    first, again = events_of(receiver, shop)

    assert first == again
    assert first.created > datetime.fromtimestamp(BEGIN, UTC)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "missing"),
        (b"{}", "malformed"),
        (b"bt_payload=a", "missing"),
        (b"bt_signature=a&bt_payload=b", "malformed"),
        (b"bt_signature=a%7C" + b"0" * 40 + b"&bt_payload=b", "no_match"),
        (b"bt_signature=a&bt_signature=b", "malformed"),
        (b"bt_signature=%FF&bt_payload=b", "malformed"),
        (b"bt_signature=a&bt_payload=b&more=c", "malformed"),
        ("bt_signature=ü".encode(), "malformed"),
    ],
)
def test_what_is_no_signed_form_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(SignatureRefused) as refused:
        verify(body, ["public:private"], wall=datetime(2026, 1, 1, tzinfo=UTC), tolerance=TOLERANCE)

    assert refused.value.reason == reason


@pytest.mark.parametrize("secrets", [[], [""], ["public"], ["public:"], [":private"]])
def test_keys_that_could_refuse_nobody_are_refused(secrets: list[str]) -> None:
    with pytest.raises(BadInput):
        verify(b"", secrets, wall=datetime(2026, 1, 1, tzinfo=UTC), tolerance=TOLERANCE)
