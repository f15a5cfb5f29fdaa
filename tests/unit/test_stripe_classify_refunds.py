"""What each answer of Stripe means for a refund and for a capture, through the real SDK."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from billing.gateway import (
    Absent,
    Declined,
    Deferred,
    RefundAccepted,
    RefundFailure,
    RefundRequest,
    RefundStatus,
    Rejected,
    Succeeded,
    Unknown,
)
from billing.gateway.rate import TokenBucket
from billing.gateway.transport import TransportError
from billing.rules.money import Money
from tests.unit.stripe_script import SENT, Reply, asked, error, gateway_with, intent, label, page

REQUEST = RefundRequest("live:refund:1", "pi_1", Money(500, "USD"), {"refund": "r_1", "note": ""})


def refund(status: str | None = "succeeded", **changes: object) -> dict[str, object]:
    return {
        "id": "re_1",
        "object": "refund",
        "status": status,
        "amount": 500,
        "currency": "usd",
        "charge": "ch_1",
        "payment_intent": "pi_1",
        "created": int(SENT.timestamp()),
        "metadata": {"refund": "r_1"},
        **changes,
    }


Expected = tuple[type, str]
REFUSED = "invalid_request_error"

# answer, what it means on a first send, and on a replay where that differs (an earlier send of
# which nothing is in Stripe's list)
ANSWERS: dict[str, tuple[Reply, Expected] | tuple[Reply, Expected, Expected]] = {
    "succeeded": (Reply(200, refund()), (RefundAccepted, "")),
    "pending": (Reply(200, refund("pending")), (RefundAccepted, "")),
    "requires action": (Reply(200, refund("requires_action")), (RefundAccepted, "")),
    "failed at once": (Reply(200, refund("failed")), (RefundAccepted, "")),
    "canceled": (Reply(200, refund("canceled")), (RefundAccepted, "")),
    "status of the future": (Reply(200, refund("floating")), (Unknown, "unexpected_status")),
    "no status": (Reply(200, refund(None)), (Unknown, "unexpected_status")),
    "another payment": (Reply(200, refund(payment_intent="pi_2")), (Unknown, "wrong_payment")),
    "another amount": (Reply(200, refund(amount=501)), (Unknown, "wrong_amount")),
    "another currency": (Reply(200, refund(currency="eur")), (Unknown, "wrong_currency")),
    "another refund of ours": (
        Reply(200, refund(metadata={"refund": "r_2"})),
        (Unknown, "wrong_metadata"),
    ),
    "amount in words": (Reply(200, refund(amount="500")), (Unknown, "garbage")),
    "another object": (Reply(200, intent()), (Unknown, "garbage")),
    "garbage": (Reply(200, b"<html>"), (Unknown, "garbage")),
    "already refunded": (
        Reply(400, error(REFUSED, "charge_already_refunded")),
        (Rejected, "charge_already_refunded"),
    ),
    "more than is left": (Reply(400, error(REFUSED)), (Rejected, "invalid_request")),
    "disputed": (Reply(400, error(REFUSED, "charge_disputed")), (Rejected, "charge_disputed")),
    "no such payment": (
        Reply(404, error(REFUSED, "resource_missing")),
        (Rejected, "resource_missing"),
    ),
    "declined": (Reply(402, error("card_error", "card_declined")), (Unknown, "card")),
    "402 that is no card's": (Reply(402, error("api_error", "odd")), (Unknown, "unexpected")),
    "key reused with other parameters": (
        Reply(400, error("idempotency_error")),
        (Rejected, "idempotency"),
        (Unknown, "idempotency"),
    ),
    "permission": (Reply(403, error(REFUSED)), (Rejected, "permission"), (Unknown, "permission")),
    "refused key": (
        Reply(401, error(REFUSED)),
        (Deferred, "authentication"),
        (Unknown, "authentication"),
    ),
    "rate limit": (
        Reply(429, error(REFUSED, "rate_limit")),
        (Deferred, "rate_limit"),
        (Unknown, "rate_limit"),
    ),
    "key in use": (
        Reply(409, error("idempotency_error", "idempotency_key_in_use")),
        (Unknown, "conflict"),
    ),
    "locked": (Reply(400, error(REFUSED, "lock_timeout")), (Unknown, "invalid_request")),
    "failed dependency": (Reply(424, error("api_error")), (Unknown, "dependency")),
    "500": (Reply(500, error("api_error")), (Unknown, "server")),
    "502 of a proxy": (Reply(502, b"<html>"), (Unknown, "server")),
    "redirect": (Reply(302, b""), (Unknown, "garbage")),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_to_a_refund_means(name: str) -> None:
    reply, *meanings = ANSWERS[name]

    sent = gateway_with(reply).refund(REQUEST, first_send=True)
    again = gateway_with(reply, page()).refund(REQUEST, first_send=False)

    assert (type(sent), label(sent)) == meanings[0]
    assert (type(again), label(again)) == meanings[-1]
    assert sent.request_id == "req_1"


@pytest.mark.parametrize("failure", ["deadline", "timeout", "tls", "connection"])
@pytest.mark.parametrize("first_send", [True, False])
def test_a_refund_without_an_answer_is_unknown(failure: Any, first_send: bool) -> None:
    gateway = gateway_with(TransportError(failure, "x"))

    outcome = gateway.refund(REQUEST, first_send=first_send)

    assert isinstance(outcome, Unknown)
    assert (outcome.error_class, outcome.provider_payment_id) == (failure, "pi_1")


def test_an_accepted_refund_says_how_far_it_is() -> None:
    reply = Reply(200, refund("failed", failure_reason="lost_or_stolen_card"))

    outcome = gateway_with(reply).refund(REQUEST, first_send=True)

    assert outcome == RefundAccepted(
        "re_1", RefundStatus.FAILED, Money(500, "USD"), RefundFailure.METHOD_LOST, "req_1"
    )


ALREADY = Reply(400, error(REFUSED, "charge_already_refunded"))


@pytest.mark.parametrize(
    ("found", "expected", "word"),
    [
        (page(), Rejected, "charge_already_refunded"),
        (page(refund(metadata={"refund": "r_2"})), Rejected, "charge_already_refunded"),
        (page(refund("pending")), RefundAccepted, ""),
        (page(refund(amount=1)), Unknown, "wrong_amount"),
        (Reply(500, {}), Unknown, "charge_already_refunded"),
        (Reply(404, error(REFUSED, "resource_missing")), Rejected, "charge_already_refunded"),
    ],
)
def test_a_refusal_of_a_replay_may_come_from_the_refund_itself(
    found: Reply, expected: type, word: str
) -> None:
    gateway = gateway_with(ALREADY, found)

    outcome = gateway.refund(REQUEST, first_send=False)

    assert (type(outcome), label(outcome)) == (expected, word)
    assert asked(gateway) == [
        ("post", "/v1/refunds"),
        ("get", "/v1/refunds?payment_intent=pi_1&limit=100"),
    ]


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (replace(REQUEST, amount=Money(5121, "KWD")), "inexpressible_amount"),
        (replace(REQUEST, amount=Money(0, "USD")), "inexpressible_amount"),
        (replace(REQUEST, amount=Money(-5, "USD")), "inexpressible_amount"),
        (replace(REQUEST, idempotency_key=""), "unusable_idempotency_key"),
        (replace(REQUEST, idempotency_key="k" * 256), "unusable_idempotency_key"),
    ],
)
def test_a_refund_that_can_not_be_sent_is_rejected_before_sending(
    request_: RefundRequest, word: str
) -> None:
    gateway = gateway_with()

    outcome = gateway.refund(request_, first_send=True)

    assert (type(outcome), label(outcome)) == (Rejected, word)
    assert asked(gateway) == []


@pytest.mark.parametrize(("first_send", "expected"), [(True, Deferred), (False, Unknown)])
def test_a_refund_the_bucket_holds_back_was_not_sent(first_send: bool, expected: type) -> None:
    bucket = TokenBucket(100, 10)
    bucket.slow_down(timedelta(minutes=5))

    outcome = gateway_with(bucket=bucket).refund(REQUEST, first_send=first_send)

    assert (type(outcome), label(outcome)) == (expected, "not_sent")


def test_a_refund_that_could_not_be_found_again_is_not_made() -> None:
    with pytest.raises(ValueError, match="metadata"):
        replace(REQUEST, metadata={"refund": ""})


OTHERS = refund(id="re_9", metadata={"refund": "r_9"})


@pytest.mark.parametrize(
    ("replies", "expected", "word"),
    [
        ([page()], Absent, ""),
        ([page(OTHERS)], Absent, ""),
        ([page(refund())], RefundAccepted, ""),
        ([page(refund("failed"))], RefundAccepted, ""),
        ([page(OTHERS, has_more=True), page(refund("pending"))], RefundAccepted, ""),
        ([page(refund("failed", id="re_0"), refund())], RefundAccepted, ""),
        ([page(refund(), refund(id="re_2"))], Unknown, "several_refunds"),
        ([page(refund(amount=5))], Unknown, "wrong_amount"),
        ([page(refund("floating"))], Unknown, "unexpected_status"),
        ([page(refund(amount=None))], Unknown, "garbage"),
        ([page(OTHERS, has_more=True), Reply(500, {})], Unknown, "server"),
        ([page(has_more=True)], Unknown, "garbage"),
        ([Reply(404, error(REFUSED, "resource_missing"))], Unknown, "invalid_request"),
        ([Reply(429, error(REFUSED))], Unknown, "rate_limit"),
    ],
)
def test_looking_up_a_refund(replies: list[Reply], expected: type, word: str) -> None:
    gateway = gateway_with(*replies)

    outcome = gateway.look_up_refund(REQUEST, since=SENT)

    assert (type(outcome), label(outcome)) == (expected, word)
    hour_before = int(SENT.timestamp()) - 3600
    path = f"/v1/refunds?payment_intent=pi_1&created[gte]={hour_before}&limit=100"
    assert asked(gateway)[0] == ("get", path)


# Captures

AUTHORISED = intent("requires_capture")
LOST_CARD = {"code": "card_declined", "decline_code": "lost_card"}
UNEXPECTED_STATE = Reply(400, error(REFUSED, "payment_intent_unexpected_state"))
CAPTURED_ALREADY = Reply(400, error(REFUSED, "charge_already_captured"))
EXPIRED = Reply(400, error(REFUSED, "charge_expired_for_capture"))
LAPSED = Reply(400, error(REFUSED, "capture_charge_authorization_expired"))


@pytest.mark.parametrize(
    ("replies", "expected", "word"),
    [
        ([Reply(200, intent())], Succeeded, ""),
        ([Reply(200, intent(amount=2000))], Succeeded, ""),
        ([Reply(200, intent(amount_received=500))], Unknown, "wrong_amount"),
        ([Reply(200, intent(currency="eur"))], Unknown, "wrong_amount"),
        ([Reply(200, intent(id="pi_2"))], Unknown, "wrong_id"),
        ([Reply(200, intent("processing"))], Unknown, "processing"),
        ([Reply(200, AUTHORISED)], Unknown, "unexpected_status"),
        ([Reply(200, intent("canceled"))], Rejected, "payment_canceled"),
        ([Reply(200, {"object": "charge"})], Unknown, "garbage"),
        ([Reply(402, error("card_error", "card_declined"))], Declined, "card_declined"),
        ([Reply(400, error(REFUSED, "amount_too_large"))], Rejected, "amount_too_large"),
        ([Reply(404, error(REFUSED, "resource_missing"))], Rejected, "resource_missing"),
        ([Reply(401, error(REFUSED))], Unknown, "authentication"),
        ([Reply(403, error(REFUSED))], Unknown, "permission"),
        ([Reply(429, error(REFUSED))], Unknown, "rate_limit"),
        ([Reply(400, error("idempotency_error"))], Unknown, "idempotency"),
        ([Reply(409, error("idempotency_error"))], Unknown, "conflict"),
        ([Reply(500, {})], Unknown, "server"),
        # Refused because of the state: what is it?
        ([UNEXPECTED_STATE, Reply(200, intent())], Succeeded, ""),
        ([CAPTURED_ALREADY, Reply(200, intent())], Succeeded, ""),
        ([UNEXPECTED_STATE, Reply(200, intent(amount_received=1))], Unknown, "wrong_amount"),
        ([UNEXPECTED_STATE, Reply(200, intent(id="pi_2"))], Unknown, "wrong_id"),
        ([UNEXPECTED_STATE, Reply(200, intent("canceled"))], Rejected, "payment_canceled"),
        ([EXPIRED, Reply(200, intent("canceled"))], Rejected, "payment_canceled"),
        ([EXPIRED, Reply(200, AUTHORISED)], Rejected, "charge_expired_for_capture"),
        ([LAPSED, Reply(200, AUTHORISED)], Rejected, "capture_charge_authorization_expired"),
        ([UNEXPECTED_STATE, Reply(200, AUTHORISED)], Unknown, "payment_intent_unexpected_state"),
        (
            [UNEXPECTED_STATE, Reply(200, intent("requires_action"))],
            Rejected,
            "payment_intent_unexpected_state",
        ),
        (
            [UNEXPECTED_STATE, Reply(200, intent("requires_payment_method"))],
            Rejected,
            "payment_intent_unexpected_state",
        ),
        ([UNEXPECTED_STATE, Reply(200, intent("processing"))], Unknown, "processing"),
        ([UNEXPECTED_STATE, Reply(500, {})], Unknown, "payment_intent_unexpected_state"),
        (
            [Reply(200, intent("requires_payment_method", last_payment_error=LOST_CARD))],
            Declined,
            "lost_card",
        ),
    ],
)
def test_each_answer_to_a_capture_has_its_outcome(
    replies: list[Reply], expected: type, word: str
) -> None:
    gateway = gateway_with(*replies)

    outcome = gateway.capture("pi_1", Money(999, "USD"), idempotency_key="k")

    assert (type(outcome), label(outcome)) == (expected, word)
    assert asked(gateway)[0] == ("post", "/v1/payment_intents/pi_1/capture")


@pytest.mark.parametrize(
    ("amount", "key", "word"),
    [
        (Money(0, "USD"), "k", "inexpressible_amount"),
        (Money(5121, "KWD"), "k", "inexpressible_amount"),
        (Money(5, "USD"), "", "unusable_idempotency_key"),
    ],
)
def test_a_capture_that_can_not_be_sent_is_rejected(amount: Money, key: str, word: str) -> None:
    outcome = gateway_with().capture("pi_1", amount, idempotency_key=key)

    assert (type(outcome), label(outcome)) == (Rejected, word)
