"""Braintree's processor and rejection codes: each documented one has one class."""

import pytest
from braintree import Transaction

from billing.gateway.braintree.declines import DECLINE_CLASSES, REJECTED, classify
from billing.rules.dunning import AUTHENTICATION_REQUIRED, Advice, DeclineClass, stops_method
from billing.sandbox.braintree import codes

SOFT, NEEDS_CUSTOMER, HARD = DeclineClass


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        ("2000", "soft_declined", SOFT), ("2001", "soft_declined", SOFT),
        ("3000", "soft_declined", SOFT), ("2046", "soft_declined", SOFT),
        ("2004", "hard_declined", NEEDS_CUSTOMER), ("2010", "hard_declined", NEEDS_CUSTOMER),
        ("2013", "hard_declined", HARD), ("2108", "hard_declined", HARD),
        ("2070", "hard_declined", NEEDS_CUSTOMER), ("2074", "hard_declined", NEEDS_CUSTOMER),
        ("2066", "hard_declined", SOFT), ("2087", "hard_declined", SOFT),
        ("4001", None, SOFT), ("4005", None, HARD),
        ("gateway_rejected_cvv", None, NEEDS_CUSTOMER), ("gateway_rejected_fraud", None, HARD),
        ("2999", "soft_declined", SOFT), ("2999", "hard_declined", HARD), ("2999", None, SOFT),
    ],
)  # fmt: skip
def test_the_class_of_a_code(code: str, kind: str | None, expected: DeclineClass) -> None:
    assert classify(code, kind) == (code, expected, None)


@pytest.mark.parametrize(
    ("advice", "expected"),
    [
        ("01", (NEEDS_CUSTOMER, Advice.CONFIRM_CARD_DATA)),
        ("02", (SOFT, Advice.TRY_AGAIN_LATER)),
        ("03", (HARD, Advice.DO_NOT_TRY_AGAIN)),
        ("21", (HARD, Advice.DO_NOT_TRY_AGAIN)),
        ("30", (SOFT, Advice.TRY_AGAIN_LATER)),
        ("99", (SOFT, None)),
    ],
)
def test_mastercards_advice_outranks_the_code(
    advice: str, expected: tuple[DeclineClass, Advice | None]
) -> None:
    assert classify("2000", "soft_declined", advice)[1:] == expected


def test_a_payment_that_the_cardholder_confirms_does_not_stop_the_card() -> None:
    code, decline_class, _ = classify("2099", "soft_declined")

    assert (code, decline_class) == (AUTHENTICATION_REQUIRED, NEEDS_CUSTOMER)
    assert not stops_method(decline_class, code)


def test_every_documented_decline_has_a_class() -> None:
    documented = {str(code) for code in range(2000, 3001) if codes.is_decline(str(code))}

    assert documented - {"2099"} <= set(DECLINE_CLASSES)
    assert set(codes.SETTLEMENTS) - {"4000", "4002"} <= set(DECLINE_CLASSES)


def test_a_documented_soft_decline_is_never_hard() -> None:
    soft = {code for code in DECLINE_CLASSES if codes.response_type(code) == "soft_declined"}

    assert {code for code in soft if code < "4" and DECLINE_CLASSES[code] is HARD} == set()


def test_every_reason_of_the_sdk_for_a_rejection_has_a_class() -> None:
    of_sdk = Transaction.GatewayRejectionReason
    reasons = {value for name, value in vars(of_sdk).items() if not name.startswith("_")}

    assert {f"{REJECTED}{each}" for each in reasons - {"duplicate"}} <= set(DECLINE_CLASSES)
