"""What each answer of Stripe means, through the real SDK but without a network."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import stripe

from billing.errors import BadInput, Unavailable
from billing.gateway import (
    Absent,
    ActionRequired,
    ChargeRequest,
    Declined,
    Deferred,
    Rejected,
    Succeeded,
    Unknown,
)
from billing.gateway.kinds import FaultKind
from billing.gateway.rate import TokenBucket
from billing.gateway.stripe.faults import FAULT_KINDS
from billing.gateway.stripe.gateway import StripeGateway
from billing.gateway.transport import TransportError
from billing.rules.dunning import Advice, DeclineClass
from billing.rules.money import Money
from billing.rules.payments import RefusalReason
from tests.unit.stripe_script import (
    FIRST,
    LATER,
    SENT,
    Reply,
    asked,
    error,
    gateway_with,
    intent,
    label,
    page,
)


def subclasses(root: type[Exception]) -> Iterator[type[Exception]]:
    for child in root.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_error_class_of_the_sdk_has_a_place_in_the_table() -> None:
    known = {cls for cls in subclasses(stripe.StripeError) if cls.__module__.startswith("stripe.")}
    bases = {cls for cls in known if cls.__name__ == "StripeErrorWithParamCode"}

    assert known - bases == set(FAULT_KINDS)


DECLINE = error(
    "card_error",
    "card_declined",
    decline_code="insufficient_funds",
    advice_code="try_again_later",
    payment_intent=intent("requires_payment_method"),
)

LOST_CARD = {"code": "card_declined", "decline_code": "lost_card", "charge": "ch_2"}

SEPA_DEBIT = {"object": "payment_method", "type": "sepa_debit", "sepa_debit": {"last4": "3000"}}

NO_MANDATE = {
    "type": "invalid_request_error",
    "message": "This PaymentIntent requires a mandate, but no existing mandate was found. Collect"
    " mandate acceptance from the customer and try again.",
}

GONE = {"type": "invalid_request_error", "code": "resource_missing", "param": "payment_method"}

Expected = tuple[type, str]

# answer, what it means on a first send, and on a replay where that differs
ANSWERS: dict[str, tuple[Reply, Expected] | tuple[Reply, Expected, Expected]] = {
    "decline": (Reply(402, DECLINE), (Declined, "insufficient_funds")),
    "decline without decline_code": (
        Reply(402, error("card_error", "expired_card")),
        (Declined, "expired_card"),
    ),
    "authentication required off session": (
        Reply(402, error("card_error", "authentication_required")),
        (Declined, "authentication_required"),
    ),
    "402 that is no card's": (Reply(402, error("api_error", "odd")), (Unknown, "unexpected")),
    "402 without a code": (Reply(402, error("card_error")), (Unknown, "card")),
    "decline of a payment that succeeded": (
        Reply(402, error("card_error", "card_declined", payment_intent=intent())),
        (Unknown, "card"),
    ),
    "invalid request": (
        Reply(400, error("invalid_request_error", "parameter_missing")),
        (Rejected, "parameter_missing"),
    ),
    "invalid request without a code": (
        Reply(400, error("invalid_request_error")),
        (Rejected, "invalid_request"),
    ),
    "no such customer": (
        Reply(404, error("invalid_request_error", "resource_missing")),
        (Rejected, "resource_missing"),
    ),
    "payment method that was detached": (
        Reply(400, error("invalid_request_error", param="payment_method")),
        (Declined, "payment_method_unusable"),
    ),
    "payment method that was deleted": (
        Reply(404, error("invalid_request_error", "resource_missing", param="payment_method")),
        (Declined, "payment_method_unusable"),
    ),
    "payment method in a state of no use": (
        Reply(400, error("invalid_request_error", "payment_method_unexpected_state")),
        (Declined, "payment_method_unusable"),
    ),
    "payment method of the other mode": (
        Reply(404, {"error": {**GONE, "message": "No such; a similar object exists in ..."}}),
        (Rejected, "resource_missing"),
    ),
    "wallet that declines": (
        Reply(402, error("card_error", "payment_method_provider_decline")),
        (Declined, "payment_method_provider_decline"),
    ),
    "wallet that declines for a reason": (
        Reply(
            402,
            error(
                "card_error", "payment_method_provider_decline", decline_code="insufficient_funds"
            ),
        ),
        (Declined, "insufficient_funds"),
    ),
    "wallet that declines as if the request were wrong": (
        Reply(402, error("invalid_request_error", "payment_method_customer_decline")),
        (Declined, "payment_method_customer_decline"),
    ),
    "wallet that is out of order": (
        Reply(400, error("invalid_request_error", "payment_method_not_available")),
        (Declined, "payment_method_not_available"),
    ),
    "wallet whose decline is of a payment that succeeded": (
        Reply(
            402,
            error("card_error", "payment_method_provider_timeout", payment_intent=intent()),
        ),
        (Unknown, "card"),
    ),
    "mandate that was taken back": (
        Reply(400, error("invalid_request_error", "payment_intent_mandate_invalid")),
        (Declined, "payment_intent_mandate_invalid"),
    ),
    "payment method without a mandate": (
        Reply(400, {"error": NO_MANDATE}),
        (Declined, "payment_method_unusable"),
    ),
    "payment method of a type that the account may not charge": (
        Reply(400, error("invalid_request_error", "payment_method_unactivated")),
        (Rejected, "payment_method_unactivated"),
    ),
    "payment method that is none": (
        Reply(400, error("invalid_request_error", "parameter_invalid", param="payment_method")),
        (Rejected, "parameter_invalid"),
    ),
    "customer that is missing": (
        Reply(404, error("invalid_request_error", "resource_missing", param="customer")),
        (Rejected, "resource_missing"),
    ),
    "key reused with other parameters": (
        Reply(400, error("idempotency_error")),
        (Rejected, "idempotency"),
        (Unknown, "idempotency"),
    ),
    "permission": (
        Reply(403, error("invalid_request_error")),
        (Rejected, "permission"),
        (Unknown, "permission"),
    ),
    "refused key": (
        Reply(401, error("invalid_request_error")),
        (Deferred, "authentication"),
        (Unknown, "authentication"),
    ),
    "rate limit": (
        Reply(429, error("invalid_request_error", "rate_limit")),
        (Deferred, "rate_limit"),
        (Unknown, "rate_limit"),
    ),
    "rate limit under an old status": (
        Reply(400, error("invalid_request_error", "rate_limit")),
        (Deferred, "rate_limit"),
        (Unknown, "rate_limit"),
    ),
    "key in use": (
        Reply(409, error("idempotency_error", "idempotency_key_in_use")),
        (Unknown, "conflict"),
    ),
    "key in use under another status": (
        Reply(400, error("invalid_request_error", "idempotency_key_in_use")),
        (Unknown, "invalid_request"),
    ),
    "failed dependency": (Reply(424, error("api_error")), (Unknown, "dependency")),
    "500": (Reply(500, error("api_error")), (Unknown, "server")),
    "502 of a proxy": (Reply(502, b"<html>"), (Unknown, "server")),
    "503": (Reply(503, {}), (Unknown, "server")),
    "redirect": (Reply(302, b""), (Unknown, "garbage")),
    "status nobody knows": (Reply(418, error("tea")), (Unknown, "garbage")),
    "error that is a list": (Reply(400, {"error": [1]}), (Unknown, "garbage")),
    "error that is null": (Reply(500, {"error": None}), (Unknown, "garbage")),
    "error that is a word": (Reply(400, {"error": "no"}), (Unknown, "garbage")),
    "error of OAuth": (Reply(400, {"error": "invalid_grant"}), (Unknown, "unexpected")),
    "garbage": (Reply(200, b"hello"), (Unknown, "garbage")),
    "not UTF-8": (Reply(200, b"\xff\xfe"), (Unknown, "garbage")),
    "empty": (Reply(200, b""), (Unknown, "garbage")),
    "null": (Reply(200, None), (Unknown, "garbage")),
    "list": (Reply(200, []), (Unknown, "garbage")),
    "another object": (Reply(200, {"object": "charge"}), (Unknown, "garbage")),
    "amount in words": (Reply(200, intent(amount="999")), (Unknown, "garbage")),
    "unknown currency": (Reply(200, intent(currency="zzz")), (Unknown, "garbage")),
    "success": (Reply(200, intent()), (Succeeded, "")),
    "another amount": (Reply(200, intent(amount=998)), (Unknown, "wrong_amount")),
    "less was captured": (Reply(200, intent(amount_received=500)), (Unknown, "wrong_amount")),
    "another currency": (Reply(200, intent(currency="eur")), (Unknown, "wrong_currency")),
    "another customer": (Reply(200, intent(customer="cus_2")), (Unknown, "wrong_customer")),
    "processing": (Reply(200, intent("processing")), (Unknown, "processing")),
    "action required": (Reply(200, intent("requires_action")), (ActionRequired, "")),
    "canceled": (Reply(200, intent("canceled")), (Rejected, "payment_canceled")),
    "declined in a 200": (
        Reply(200, intent("requires_payment_method", last_payment_error=LOST_CARD)),
        (Declined, "lost_card"),
    ),
    "no error and no payment": (
        Reply(200, intent("requires_payment_method")),
        (Unknown, "unexpected_status"),
    ),
    "not captured though it should be": (
        Reply(200, intent("requires_capture")),
        (Unknown, "unexpected_status"),
    ),
    "status of the future": (Reply(200, intent("levitating")), (Unknown, "unexpected_status")),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("request_", [FIRST, LATER], ids=["create", "confirm"])
def test_each_answer_has_its_outcome_at_the_first_send_and_later(
    name: str, request_: ChargeRequest
) -> None:
    reply, *meanings = ANSWERS[name]

    sent = gateway_with(reply).charge(request_, first_send=True)
    again = gateway_with(reply).charge(request_, first_send=False)

    assert (type(sent), label(sent)) == meanings[0]
    assert (type(again), label(again)) == meanings[-1]
    assert getattr(sent, "request_id", None) == "req_1"


@pytest.mark.parametrize("failure", ["deadline", "timeout", "tls", "connection"])
@pytest.mark.parametrize("first_send", [True, False])
def test_no_answer_is_unknown(failure: Any, first_send: bool) -> None:
    outcome = gateway_with(TransportError(failure, "x")).charge(LATER, first_send=first_send)

    assert isinstance(outcome, Unknown)
    assert outcome.error_class == failure
    assert outcome.provider_payment_id == "pi_1"


def test_every_kind_of_fault_is_in_the_table_of_answers() -> None:
    seen = {FAULT_KINDS[stripe.APIConnectionError].value, "deadline", "timeout", "tls", "not_sent"}
    labels = {word for _, *meanings in ANSWERS.values() for _, word in meanings}

    assert {kind.value for kind in FaultKind} <= seen | labels


def test_a_success_says_what_was_paid_and_where() -> None:
    outcome = gateway_with(Reply(200, intent())).charge(FIRST, first_send=True)

    assert outcome == Succeeded("pi_1", Money(999, "USD"), True, "ch_1", "req_1")


def test_a_manual_capture_is_a_success_that_is_not_captured() -> None:
    request = replace(FIRST, manual_capture=True)

    outcome = gateway_with(Reply(200, intent("requires_capture"))).charge(request, first_send=True)

    assert outcome == Succeeded("pi_1", Money(999, "USD"), False, "ch_1", "req_1")


def test_a_decline_carries_the_codes_and_the_payment_intent() -> None:
    outcome = gateway_with(Reply(402, DECLINE)).charge(FIRST, first_send=True)

    assert outcome == Declined(
        "insufficient_funds",
        DeclineClass.SOFT,
        Advice.TRY_AGAIN_LATER,
        "said Stripe",
        "pi_1",
        "req_1",
    )


def test_a_decline_of_another_payment_intent_is_not_ours() -> None:
    other = replace(LATER, provider_payment_id="pi_2")

    outcome = gateway_with(Reply(402, DECLINE)).charge(other, first_send=True)

    assert isinstance(outcome, Unknown)
    assert outcome.provider_payment_id == "pi_2"


def test_an_answer_for_another_payment_intent_is_no_success() -> None:
    outcome = gateway_with(Reply(200, intent(id="pi_2"))).charge(LATER, first_send=True)

    assert isinstance(outcome, Unknown)
    assert outcome.error_class == "wrong_id"


def test_an_answer_with_other_metadata_is_no_success_of_a_first_attempt() -> None:
    reply = Reply(200, intent(metadata={"payment": "pay_2", "key": FIRST.idempotency_key}))

    outcome = gateway_with(reply).charge(FIRST, first_send=True)

    assert isinstance(outcome, Unknown)
    assert outcome.error_class == "wrong_metadata"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "7"}, timedelta(seconds=7)),
        ({"retry-after": "0.5"}, timedelta(seconds=0.5)),
        ({"retry-after": "999999"}, timedelta(hours=1)),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-3"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_honoured(headers: Mapping[str, str], expected: timedelta | None) -> None:
    reply = Reply(429, error("invalid_request_error", "rate_limit"), headers)

    outcome = gateway_with(reply).charge(FIRST, first_send=True)

    assert isinstance(outcome, Deferred)
    assert outcome.retry_after == expected


def test_a_429_slows_the_bucket() -> None:
    bucket = TokenBucket(100, 10)
    reply = Reply(429, error("invalid_request_error"), {"retry-after": "20"})

    gateway_with(reply, bucket=bucket).charge(FIRST, first_send=True)

    assert bucket.rate < 60
    assert bucket.take() > 19


@pytest.mark.parametrize(("first_send", "expected"), [(True, Deferred), (False, Unknown)])
def test_what_the_bucket_holds_back_was_not_sent(first_send: bool, expected: type) -> None:
    bucket = TokenBucket(100, 10)
    bucket.slow_down(timedelta(minutes=5))
    gateway = gateway_with(bucket=bucket)

    outcome = gateway.charge(FIRST, first_send=first_send)

    assert isinstance(outcome, expected)
    assert label(outcome) == "not_sent"
    assert asked(gateway) == []


REFUSED_STATE = Reply(400, error("invalid_request_error", "payment_intent_unexpected_state"))


@pytest.mark.parametrize(
    ("found", "expected", "word"),
    [
        (Reply(200, intent()), Succeeded, ""),
        (Reply(200, intent(amount=1)), Unknown, "wrong_amount"),
        (Reply(200, intent("canceled")), Rejected, "payment_canceled"),
        (Reply(200, intent("processing")), Unknown, "processing"),
        (Reply(200, intent("requires_action")), ActionRequired, ""),
        (
            Reply(200, intent("requires_payment_method", last_payment_error={"code": "x"})),
            Unknown,
            "payment_intent_unexpected_state",
        ),
        (Reply(500, {}), Unknown, "payment_intent_unexpected_state"),
    ],
)
def test_a_confirm_refused_by_state_asks_what_the_state_is(
    found: Reply, expected: type, word: str
) -> None:
    gateway = gateway_with(REFUSED_STATE, found)

    outcome = gateway.charge(LATER, first_send=False)

    assert (type(outcome), label(outcome)) == (expected, word)
    assert asked(gateway) == [
        ("post", "/v1/payment_intents/pi_1/confirm"),
        ("get", "/v1/payment_intents/pi_1"),
    ]


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (replace(FIRST, amount=Money(5121, "KWD")), "inexpressible_amount"),
        (replace(FIRST, amount=Money(0, "USD")), "inexpressible_amount"),
        (replace(FIRST, amount=Money(-1, "USD")), "inexpressible_amount"),
        (replace(FIRST, idempotency_key="k" * 256), "unusable_idempotency_key"),
        (replace(FIRST, idempotency_key=""), "unusable_idempotency_key"),
        (replace(FIRST, idempotency_key="a\nb"), "unusable_idempotency_key"),
    ],
)
def test_what_can_not_be_sent_is_rejected_before_sending(
    request_: ChargeRequest, word: str
) -> None:
    gateway = gateway_with()

    outcome = gateway.charge(request_, first_send=True)

    assert isinstance(outcome, Rejected)
    assert outcome.error_class == word
    assert asked(gateway) == []


def failed_charge(**changes: object) -> dict[str, object]:
    return {
        "id": "ch_2",
        "object": "charge",
        "status": "failed",
        "outcome": {"reason": "do_not_honor", "advice_code": "do_not_try_again"},
        "failure_code": "card_declined",
        "failure_message": "no",
        **changes,
    }


UNPAID = intent("requires_payment_method", last_payment_error=LOST_CARD)
MISSING = Reply(404, error("invalid_request_error", "resource_missing"))


@pytest.mark.parametrize(
    ("replies", "expected", "word"),
    [
        ([Reply(200, intent())], Succeeded, ""),
        ([Reply(200, intent(amount=1))], Unknown, "wrong_amount"),
        ([Reply(200, intent("processing"))], Unknown, "processing"),
        ([Reply(200, intent("requires_action"))], ActionRequired, ""),
        ([Reply(200, intent("canceled"))], Rejected, "payment_canceled"),
        ([Reply(200, UNPAID), page()], Absent, ""),
        ([Reply(200, UNPAID), page(failed_charge())], Declined, "lost_card"),
        ([Reply(200, UNPAID), page(failed_charge(id="ch_9"))], Declined, "do_not_honor"),
        ([Reply(200, UNPAID), page(failed_charge(status="pending"))], Unknown, "contradiction"),
        ([Reply(200, UNPAID), Reply(500, {})], Unknown, "server"),
        ([Reply(200, UNPAID), Reply(200, {"data": 3})], Unknown, "garbage"),
        ([MISSING], Unknown, "invalid_request"),
        ([Reply(429, error("invalid_request_error"))], Unknown, "rate_limit"),
    ],
)
def test_looking_up_a_known_payment_intent(replies: list[Reply], expected: type, word: str) -> None:
    outcome = gateway_with(*replies).look_up(LATER, since=SENT)

    assert (type(outcome), label(outcome)) == (expected, word)


OTHERS = intent(id="pi_9", metadata={"key": "live:sub_1:2026-03-01:a7"})
CREATED = intent("requires_payment_method")


@pytest.mark.parametrize(
    ("replies", "expected", "word"),
    [
        ([page()], Absent, ""),
        ([page(OTHERS)], Absent, ""),
        ([page(OTHERS, intent())], Succeeded, ""),
        ([page(OTHERS, has_more=True), page(intent())], Succeeded, ""),
        ([page(OTHERS, has_more=True), Reply(500, {})], Unknown, "server"),
        ([page(has_more=True)], Unknown, "garbage"),
        ([page(OTHERS, has_more=True), page(OTHERS, has_more=True)], Unknown, "garbage"),
        ([page(UNPAID)], Declined, "lost_card"),
        ([page(CREATED)], Absent, ""),
        ([page(intent("processing"))], Unknown, "processing"),
        ([page(intent("canceled"))], Rejected, "payment_canceled"),
        ([page(intent(amount=5))], Unknown, "wrong_amount"),
        ([page({**intent(), "amount": None})], Unknown, "garbage"),
        ([page(UNPAID, intent(id="pi_2"))], Succeeded, ""),
        ([page(intent(), intent(id="pi_2"))], Unknown, "several_payments"),
    ],
)
def test_looking_up_by_the_key_in_the_metadata(
    replies: list[Reply], expected: type, word: str
) -> None:
    outcome = gateway_with(*replies).look_up(FIRST, since=SENT)

    assert (type(outcome), label(outcome)) == (expected, word)


def test_looking_up_reads_lists_of_that_customer_and_no_search() -> None:
    gateway = gateway_with(page(OTHERS, has_more=True), page())

    gateway.look_up(FIRST, since=SENT)

    hour_before = int(SENT.timestamp()) - 3600
    start = f"/v1/payment_intents?customer=cus_1&created[gte]={hour_before}&limit=100"
    assert asked(gateway) == [("get", start), ("get", f"{start}&starting_after=pi_9")]


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([Reply(200, intent("canceled"))], Absent),
        ([REFUSED_STATE, Reply(200, intent("canceled"))], Absent),
        ([REFUSED_STATE, Reply(200, intent())], Succeeded),
        ([REFUSED_STATE, Reply(200, intent("processing"))], Unknown),
        ([Reply(200, intent("canceled", id="pi_2"))], Unknown),
        ([Reply(500, {})], Unknown),
        ([Reply(429, error("invalid_request_error"))], Deferred),
        ([Reply(404, error("invalid_request_error", "resource_missing"))], Rejected),
    ],
)
def test_each_answer_to_a_cancel_has_its_outcome(replies: list[Reply], expected: type) -> None:
    outcome = gateway_with(*replies).cancel("pi_1", idempotency_key="c1")

    assert isinstance(outcome, expected)


@pytest.mark.parametrize(
    ("reply", "expected", "remedy"),
    [
        (Reply(402, error("card_error", "card_declined")), BadInput, "another card"),
        (Reply(400, error("invalid_request_error")), BadInput, "correct"),
        (Reply(401, error("invalid_request_error")), BadInput, "key"),
        (Reply(403, error("invalid_request_error")), BadInput, "permission"),
        (Reply(429, error("invalid_request_error")), Unavailable, "again"),
        (Reply(500, {}), Unavailable, "again"),
        (Reply(200, {"id": "pm_1", **SEPA_DEBIT}), BadInput, "a card or for paypal"),
        (Reply(200, {"id": "cus_1", "object": "customer"}), Unavailable, "again"),
        (TransportError("timeout", "x"), Unavailable, "again"),
    ],
)
def test_attaching_fails_with_a_remedy(
    reply: Reply | TransportError, expected: type[Exception], remedy: str
) -> None:
    gateway = gateway_with(reply)

    with pytest.raises(expected, match=remedy):
        gateway.attach_payment_method("cus_1", "pm_1", idempotency_key="k")


def test_what_is_observed_is_the_request_and_a_bounded_label() -> None:
    seen: list[tuple[str, str | None]] = []
    replies = [Reply(200, intent()), Reply(402, DECLINE), Reply(500, {})]
    gateway = gateway_with(*replies, observe=lambda op, _, fault: seen.append((op, fault)))

    gateway.charge(FIRST, first_send=True)
    gateway.charge(LATER, first_send=True)
    gateway.charge(LATER, first_send=True)

    assert seen == [("create_and_confirm", None), ("confirm", None), ("confirm", "server")]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b'{"card": "4242424242424242"'),
        Reply(500, b"<pre>4242424242424242 sk_test_secret</pre>"),
        Reply(401, error("invalid_request_error", message="Invalid key: sk_test_secret")),
    ],
)
def test_neither_bodies_nor_keys_are_repeated(
    reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = gateway_with(reply, reply)

    outcome = gateway.charge(FIRST, first_send=True)
    with pytest.raises((BadInput, Unavailable)) as raised:
        gateway.check()

    for text in (repr(outcome), str(raised.value), caplog.text):
        assert "4242424242424242" not in text
        assert "sk_test_secret" not in text
    assert raised.value.__suppress_context__


def test_charges_are_read_as_reconciliation_needs_them() -> None:
    paid = {
        "id": "ch_1", "object": "charge", "status": "succeeded", "captured": True,
        "payment_intent": "pi_1", "amount": 999, "amount_captured": 999, "amount_refunded": 100,
        "currency": "usd", "created": int(SENT.timestamp()), "metadata": {"payment": "pay_1"},
    }  # fmt: skip
    failed = {
        **failed_charge(), "captured": False, "payment_intent": {"id": "pi_2"}, "amount": 500,
        "amount_captured": 0, "amount_refunded": 0, "currency": "isk",
        "created": int(SENT.timestamp()),
    }  # fmt: skip
    gateway = gateway_with(page(paid, has_more=True), page(failed))

    pages = list(gateway.list_charges(since=SENT, until=SENT + timedelta(seconds=0.5)))

    ((first,), (second,)) = pages
    assert (first.amount, first.refunded_amount, first.captured) == (Money(999, "USD"), 100, True)
    assert (first.created, first.metadata) == (SENT, {"payment": "pay_1"})
    assert (second.amount, second.succeeded) == (Money(5, "ISK"), False)
    assert (second.provider_payment_id, second.decline_code) == ("pi_2", "do_not_honor")
    seconds = int(SENT.timestamp())
    path = f"/v1/charges?created[gte]={seconds}&created[lt]={seconds + 1}&limit=100"
    assert asked(gateway) == [("get", path), ("get", f"{path}&starting_after=ch_1")]


def test_a_failing_page_leaves_the_pages_before_it_true() -> None:
    first = {
        **failed_charge(), "captured": False, "payment_intent": None, "amount": 1,
        "amount_refunded": 0, "currency": "usd", "created": 0,
    }  # fmt: skip
    pages = gateway_with(page(first, has_more=True), Reply(500, {})).list_charges(since=SENT)

    assert len(next(pages)) == 1
    with pytest.raises(Unavailable):
        next(pages)


def test_a_gateway_without_a_key_is_refused() -> None:
    with pytest.raises(BadInput, match="secret key"):
        StripeGateway("")


def test_telemetry_and_retries_of_the_sdk_are_off() -> None:
    gateway = gateway_with(TransportError("connection", "x"))

    gateway.charge(FIRST, first_send=True)

    assert not stripe.enable_telemetry
    assert len(asked(gateway)) == 1


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ([Reply(200, intent("canceled"))], RefusalReason.PAYMENT_CANCELED),
        (
            [
                Reply(400, error("invalid_request_error", "charge_expired_for_capture")),
                Reply(200, intent("requires_capture")),
            ],
            RefusalReason.AUTHORIZATION_EXPIRED,
        ),
    ],
)
def test_a_refusal_says_what_flows_decide_by(replies: list[Reply], reason: RefusalReason) -> None:
    outcome = gateway_with(*replies).capture("pi_1", Money(999, "USD"), idempotency_key="k")

    assert isinstance(outcome, Rejected)
    assert outcome.reason is reason


def test_a_refusal_of_the_request_itself_has_no_reason_that_flows_decide_by() -> None:
    refused = Reply(400, error("invalid_request_error", "amount_too_large"))

    outcome = gateway_with(refused).charge(FIRST, first_send=True)

    assert isinstance(outcome, Rejected)
    assert outcome.reason is RefusalReason.OTHER
