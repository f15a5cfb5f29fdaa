"""Stripe's decline and advice codes: each documented one has one class."""

import pytest

from billing.gateway.declines import classes
from billing.gateway.stripe import declines
from billing.gateway.stripe.declines import DECLINE_CLASSES, classify
from billing.rules.dunning import Advice, DeclineClass

SOFT, NEEDS_CUSTOMER, HARD = DeclineClass


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("insufficient_funds", SOFT), ("do_not_honor", SOFT), ("generic_decline", SOFT),
        ("processing_error", SOFT), ("try_again_later", SOFT), ("card_velocity_exceeded", SOFT),
        ("expired_card", NEEDS_CUSTOMER), ("incorrect_cvc", NEEDS_CUSTOMER),
        ("authentication_required", NEEDS_CUSTOMER), ("card_not_supported", NEEDS_CUSTOMER),
        ("incorrect_number", HARD), ("lost_card", HARD), ("stolen_card", HARD),
        ("pickup_card", HARD), ("revocation_of_authorization", HARD), ("fraudulent", HARD),
        ("revocation_of_all_authorizations", HARD), ("highest_risk_level", HARD),
        ("transaction_not_allowed", HARD),
        ("a_code_of_next_year", SOFT), (None, SOFT), ("", SOFT),
    ],
)  # fmt: skip
def test_the_class_of_a_code(code: str | None, expected: DeclineClass) -> None:
    assert classify(code) == (expected, None)


@pytest.mark.parametrize(
    ("code", "advice", "expected"),
    [
        ("insufficient_funds", "do_not_try_again", (HARD, Advice.DO_NOT_TRY_AGAIN)),
        ("stolen_card", "try_again_later", (SOFT, Advice.TRY_AGAIN_LATER)),
        ("generic_decline", "confirm_card_data", (NEEDS_CUSTOMER, Advice.CONFIRM_CARD_DATA)),
        (None, "do_not_try_again", (HARD, Advice.DO_NOT_TRY_AGAIN)),
        ("stolen_card", "an_advice_of_next_year", (HARD, None)),
    ],
)
def test_advice_outranks_the_code(
    code: str | None, advice: str, expected: tuple[DeclineClass, Advice | None]
) -> None:
    assert classify(code, advice) == expected


# docs.stripe.com/declines/codes: card decline codes, then local payment methods
DOCUMENTED = """
    authentication_required authentication_not_handled approve_with_id call_issuer
    card_not_supported card_velocity_exceeded currency_not_supported do_not_honor do_not_try_again
    duplicate_transaction expired_card fraudulent generic_decline incorrect_address incorrect_cvc
    incorrect_number incorrect_pin incorrect_zip insufficient_funds invalid_account invalid_amount
    invalid_cvc invalid_expiry_month invalid_expiry_year invalid_number invalid_pin
    issuer_not_available lost_card merchant_blacklist mobile_device_authentication_required
    new_account_information_available no_action_taken not_permitted offline_pin_required
    online_or_offline_pin_required pickup_card pin_try_exceeded processing_error
    reenter_transaction restricted_card revocation_of_all_authorizations
    revocation_of_authorization security_violation service_not_allowed stolen_card
    stop_payment_order testmode_decline transaction_not_allowed try_again_later
    withdrawal_count_limit_exceeded

    partner_generic_decline invalid_customer_account payment_limit_exceeded
    invalid_billing_agreement invalid_business_account partner_high_risk_customer
    compliance_violation payment_disputed invalid_authorization invalid_payment_information
    partner_payment_not_found expired_payment_information
"""
# docs.stripe.com/error-codes, and the changelog of 2022-11-15: why a payment with a wallet failed
ERROR_CODES = {
    "payment_method_provider_decline": SOFT,
    "payment_method_provider_timeout": SOFT,
    "payment_method_not_available": SOFT,
    "payment_intent_payment_attempt_failed": SOFT,
    "payment_method_customer_decline": NEEDS_CUSTOMER,
    "payment_intent_mandate_invalid": NEEDS_CUSTOMER,
    "payment_intent_payment_attempt_expired": NEEDS_CUSTOMER,
    "payment_intent_authentication_failure": NEEDS_CUSTOMER,
    "payment_method_currency_mismatch": NEEDS_CUSTOMER,
}


def test_the_errors_that_stand_for_a_decline_of_a_wallet_have_their_class() -> None:
    assert set(ERROR_CODES) == declines.DECLINING_ERRORS
    assert {code: classify(code) for code in ERROR_CODES} == {
        code: (expected, None) for code, expected in ERROR_CODES.items()
    }


def test_an_agreement_that_its_payer_ended_needs_the_customer_by_either_code() -> None:
    codes = ("invalid_billing_agreement", "payment_intent_mandate_invalid")
    assert {classify(code)[0] for code in codes} == {NEEDS_CUSTOMER}


def test_every_documented_code_has_a_class() -> None:
    assert set(DOCUMENTED.split()) <= set(DECLINE_CLASSES)


def test_a_code_has_one_class() -> None:
    assert list_sizes() == len(DECLINE_CLASSES)
    with pytest.raises(AssertionError, match="stolen_card has two classes"):
        classes((HARD, "lost_card stolen_card"), (SOFT, "do_not_honor stolen_card"))


def list_sizes() -> int:
    lists = (
        declines._SOFT,
        declines._SOFT_ERRORS,
        declines._NEEDS_CUSTOMER,
        declines._ERRORS_FOR_CUSTOMER,
        declines._HARD,
    )
    return sum(len(codes.split()) for codes in lists)
