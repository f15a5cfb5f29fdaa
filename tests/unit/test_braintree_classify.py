"""The outcome of each of Braintree's answers, without a server."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from braintree import Transaction
from braintree.exceptions.unexpected_error import UnexpectedError

from billing.gateway import (
    Absent,
    ChargeRequest,
    Declined,
    Deferred,
    Rejected,
    Succeeded,
    Unknown,
)
from billing.gateway.braintree import faults
from billing.gateway.braintree.classify import (
    Sale,
    outcome_of_cancel,
    outcome_of_capture,
    outcome_of_fault,
    outcome_of_found,
    outcome_of_refused_capture,
    outcome_of_sale,
    read_sale,
)
from billing.gateway.braintree.faults import RequestFault, fault_of, refusal
from billing.gateway.braintree.statuses import payment_status, refund_status
from billing.gateway.kinds import FaultKind, PaymentStatus, RefundStatus, RefusalReason
from billing.gateway.transport import TransportError
from billing.gateway.untrusted import Malformed
from billing.rules.money import Money

TEN = Money(1000, "USD")
REQUEST = ChargeRequest("key", TEN, "customer", "token", metadata={"payment": "p"})
SALE = Sale(
    "sale", "sale", "settled", TEN, TEN, "customer", "order", datetime(2026, 1, 1, tzinfo=UTC),
    "1000", "Approved",
)  # fmt: skip
STATUSES = sorted(
    value for name, value in vars(Transaction.Status).items() if not name.startswith("_")
)


def of(status: str, **changes: Any) -> Any:
    return outcome_of_sale(replace(SALE, status=status, **changes), REQUEST, "order")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("submitted_for_settlement", Succeeded), ("settling", Succeeded), ("settled", Succeeded),
        ("settlement_confirmed", Succeeded), ("authorized", Unknown), ("authorizing", Unknown),
        ("settlement_pending", Unknown), ("voided", Rejected), ("authorization_expired", Rejected),
        ("processor_declined", Declined), ("failed", Declined), ("settlement_declined", Declined),
        ("settlement_failed", Declined), ("a_status_of_next_year", Unknown),
    ],
)  # fmt: skip
def test_the_outcome_of_each_status(status: str, expected: type) -> None:
    assert isinstance(of(status), expected)


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_of_the_sdk_is_known(status: str) -> None:
    assert payment_status(status) is not PaymentStatus.UNKNOWN
    if status != "authorization_expired":  # of sales only
        assert refund_status(status) is not RefundStatus.UNKNOWN


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "credit"}, {"order_id": "another"}, {"order_id": None}, {"customer": "another"},
        {"customer": None}, {"authorised": Money(1001, "USD")}, {"authorised": Money(1000, "EUR")},
        {"amount": Money(999, "USD")},
    ],
)  # fmt: skip
def test_a_transaction_that_differs_is_never_a_success(changes: dict[str, Any]) -> None:
    outcome = of("settled", **changes)

    assert isinstance(outcome, Unknown)
    assert outcome.error_class.startswith("wrong_")


def test_an_authorisation_is_a_success_only_where_the_capture_is_manual() -> None:
    held = replace(SALE, status="authorized")
    manual = replace(REQUEST, manual_capture=True)

    outcome = outcome_of_sale(held, manual, "order")

    assert isinstance(outcome, Succeeded)
    assert not outcome.captured


@pytest.mark.parametrize("reason", ["duplicate", None])
def test_a_rejected_duplicate_is_no_decline(reason: str | None) -> None:
    outcome = of("gateway_rejected", rejection=reason)

    assert isinstance(outcome, Unknown)
    assert outcome.error_class == "conflict"


def test_an_order_that_paypal_was_paid_for_is_no_decline() -> None:
    outcome = of("processor_declined", code="2069", response_type="hard_declined")

    assert isinstance(outcome, Unknown)
    assert outcome.error_class == "conflict"


def test_another_rejection_is_a_decline() -> None:
    outcome = of("gateway_rejected", rejection="cvv")

    assert isinstance(outcome, Declined)
    assert outcome.decline_code == "gateway_rejected_cvv"


def test_of_several_transactions_the_live_one_counts() -> None:
    declined, voided = (replace(SALE, id=s, status=s) for s in ("processor_declined", "voided"))

    outcome = outcome_of_found([declined, SALE, voided], REQUEST, "order")

    assert isinstance(outcome, Succeeded)
    assert isinstance(outcome_of_found([voided, declined], REQUEST, "order"), Rejected)
    assert outcome_of_found([], REQUEST, "order") == Absent()
    two = outcome_of_found([SALE, replace(SALE, id="other")], REQUEST, "order")
    assert isinstance(two, Unknown)
    assert two.error_class == "several_payments"


# Faults

DEFINITE = (Rejected, Declined)


@pytest.mark.parametrize(("kind", "first_send"), list(product(FaultKind, (True, False))))
def test_only_a_refusal_is_definite_and_a_repetition_only_by_its_values(
    kind: FaultKind, first_send: bool
) -> None:
    outcome = outcome_of_fault(RequestFault(kind, "why"), first_send=first_send)

    refused = {FaultKind.INVALID_REQUEST}
    put_off = set[FaultKind]()
    if first_send:
        refused |= {FaultKind.PERMISSION, FaultKind.IDEMPOTENCY}
        put_off = {FaultKind.AUTHENTICATION, FaultKind.RATE_LIMIT, FaultKind.NOT_SENT}
    assert isinstance(outcome, Rejected) is (kind in refused)
    assert isinstance(outcome, Deferred) is (kind in put_off)
    assert isinstance(outcome, Unknown) is (kind not in refused | put_off)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("915232", FaultKind.IDEMPOTENCY), ("915233", FaultKind.CONFLICT),
        ("915234", FaultKind.INVALID_REQUEST), ("915235", FaultKind.SERVER),
        ("81502", FaultKind.INVALID_REQUEST),
    ],
)  # fmt: skip
def test_the_code_of_a_refusal_says_what_kind_it_is(code: str, kind: FaultKind) -> None:
    errors = {"transaction": {"errors": [{"code": code, "attribute": "base", "message": "m"}]}}

    fault = refusal({"errors": errors, "message": "m"}, None)

    assert (fault.kind, fault.codes, fault.message) == (kind, frozenset({code}), "m")


def test_codes_are_found_however_deep_they_are() -> None:
    deep = {"a": {"errors": [], "b": {"errors": [{"code": "1"}, {"code": "2"}]}}}

    assert refusal({"errors": deep, "message": "m"}, None).codes == {"1", "2"}
    assert refusal({"message": "m"}, None).codes == frozenset()


def test_a_verification_that_failed_is_the_cards_fault() -> None:
    fault = refusal({"message": "Do Not Honor", "verification": {"status": "failed"}}, None)

    assert fault.kind is FaultKind.CARD


def test_every_error_of_the_sdk_that_an_answer_raises_has_a_kind() -> None:
    never_raised_by_an_answer = {
        "BraintreeError", "ConfigurationError", "InvalidChallengeError", "InvalidSignatureError",
        "TestOperationPerformedInProductionError",
    }  # fmt: skip

    others = {each for each in faults.sdk_errors() if each not in faults.FAULT_KINDS}

    assert {each.__name__ for each in others} <= never_raised_by_an_answer


def test_a_broken_connection_keeps_its_kind() -> None:
    fault = fault_of(TransportError("tls", "SSLError"), None, {}, None)

    assert fault.kind is FaultKind.TLS


@pytest.mark.parametrize(("status", "kind"), [(502, FaultKind.SERVER), (409, FaultKind.UNEXPECTED)])
def test_a_status_that_the_sdk_does_not_expect_is_told_apart(status: int, kind: FaultKind) -> None:
    assert fault_of(UnexpectedError("x"), status, {}, None).kind is kind


# Captures and cancellations


@pytest.mark.parametrize(
    ("status", "expected", "reason"),
    [
        ("authorization_expired", Rejected, RefusalReason.AUTHORIZATION_EXPIRED),
        ("voided", Rejected, RefusalReason.PAYMENT_CANCELED),
        ("processor_declined", Rejected, RefusalReason.OTHER),
        ("settlement_declined", Declined, None),
        ("settled", Succeeded, None),
        ("authorized", Unknown, None),
        ("settlement_pending", Unknown, None),
    ],
)
def test_a_refused_capture_follows_from_the_state(
    status: str, expected: type, reason: RefusalReason | None
) -> None:
    fault = RequestFault(FaultKind.INVALID_REQUEST, "why", frozenset({"91507"}))

    outcome = outcome_of_refused_capture(fault, replace(SALE, status=status), "sale", TEN)

    assert isinstance(outcome, expected)
    assert getattr(outcome, "reason", None) == reason


def test_a_capture_of_another_transaction_or_amount_is_in_doubt() -> None:
    for outcome in (
        outcome_of_capture(SALE, "other", TEN),
        outcome_of_capture(SALE, "sale", Money(999, "USD")),
    ):
        assert isinstance(outcome, Unknown)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("voided", Absent), ("authorization_expired", Absent), ("processor_declined", Absent),
        ("settled", Succeeded), ("authorized", Unknown), ("settlement_pending", Unknown),
    ],
)  # fmt: skip
def test_the_outcome_of_a_cancellation(status: str, expected: type) -> None:
    assert isinstance(outcome_of_cancel(replace(SALE, status=status)), expected)


# Reading

LIKE_THE_SDK = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # it doesn't say UTC
NODE: dict[str, Any] = {
    "id": "abc", "type": "sale", "status": "settled", "amount": "10.00",
    "currency_iso_code": "USD", "created_at": LIKE_THE_SDK, "order_id": "o",
    "customer": {"id": "c"},
    "status_history": [{"status": "authorized", "amount": "12.00"}],
}  # fmt: skip


def test_a_transaction_is_read_with_the_amount_that_was_authorised() -> None:
    sale = read_sale(NODE)

    assert (sale.amount, sale.authorised) == (TEN, Money(1200, "USD"))
    assert sale.created == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", None), ("id", "4242424242424242"), ("status", ""), ("type", 7), ("amount", None),
        ("amount", "ten"), ("amount", "10.001"), ("amount", 10), ("amount", "1" * 20),
        ("currency_iso_code", "XXZ"), ("created_at", "yesterday"), ("created_at", None),
        ("created_at", datetime(2300, 1, 1, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_what_is_no_transaction_is_malformed(name: str, value: object) -> None:
    with pytest.raises(Malformed):
        read_sale({**NODE, name: value})
