"""Stripe's decline and advice codes, and the class of each.

The codes are those of docs.stripe.com/declines/codes (cards and local payment methods), the
outcome reasons that Stripe gives when its own rules block a charge, and the error codes of
docs.stripe.com/error-codes that stand for a decline of a wallet. Each known code is a metric
label; one that isn't known is soft and counts as "other".
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from billing.gateway.declines import classes
from billing.rules.dunning import Advice, DeclineClass

_SOFT: Final = """
    approve_with_id call_issuer card_declined card_velocity_exceeded do_not_honor
    duplicate_transaction generic_decline insufficient_funds invalid_business_account
    issuer_not_available no_action_taken partner_duplicate_transaction partner_generic_decline
    partner_insufficient_funds partner_processing_error processing_error reenter_transaction
    try_again_later withdrawal_count_limit_exceeded
"""
_NEEDS_CUSTOMER: Final = """
    authentication_not_handled authentication_required card_not_supported currency_not_supported
    expired_card expired_payment_information incorrect_address incorrect_cvc incorrect_pin
    incorrect_zip invalid_amount invalid_billing_agreement invalid_customer_account invalid_cvc
    invalid_expiry_month invalid_expiry_year invalid_payment_information invalid_pin
    mobile_device_authentication_required new_account_information_available offline_pin_required
    online_or_offline_pin_required partner_expired_card partner_invalid_amount
    partner_invalid_currency payment_limit_exceeded pin_try_exceeded
"""
_HARD: Final = """
    blocklist compliance_violation do_not_try_again fraudulent highest_risk_level incorrect_number
    invalid_account invalid_authorization invalid_number live_mode_test_card lost_card
    merchant_blacklist not_permitted partner_high_risk_customer
    partner_payment_not_found payment_disputed pickup_card previously_declined_do_not_retry
    restricted_card revocation_of_all_authorizations revocation_of_authorization rule
    security_violation service_not_allowed stolen_card stop_payment_order testmode_decline
    transaction_not_allowed
"""

# Error codes, which stand where no decline code is. A payer who was asked and didn't approve, or
# took back the agreement that lets us charge, has to act; what the wallet itself refuses or fails
# to do may go through later.
_SOFT_ERRORS: Final = """
    payment_intent_payment_attempt_failed payment_method_not_available
    payment_method_provider_decline payment_method_provider_timeout
"""
_ERRORS_FOR_CUSTOMER: Final = """
    payment_intent_authentication_failure payment_intent_mandate_invalid
    payment_intent_payment_attempt_expired payment_method_currency_mismatch
    payment_method_customer_decline
"""
DECLINING_ERRORS: Final = frozenset(f"{_SOFT_ERRORS} {_ERRORS_FOR_CUSTOMER}".split())


DECLINE_CLASSES: Final = classes(
    (DeclineClass.SOFT, _SOFT + _SOFT_ERRORS),
    (DeclineClass.NEEDS_CUSTOMER, _NEEDS_CUSTOMER + _ERRORS_FOR_CUSTOMER),
    (DeclineClass.HARD, _HARD),
)

# The issuer's advice, which is more specific than the code that it comes with.
_ADVICE: Final[Mapping[str, tuple[Advice, DeclineClass]]] = MappingProxyType(
    {
        "try_again_later": (Advice.TRY_AGAIN_LATER, DeclineClass.SOFT),
        "confirm_card_data": (Advice.CONFIRM_CARD_DATA, DeclineClass.NEEDS_CUSTOMER),
        "do_not_try_again": (Advice.DO_NOT_TRY_AGAIN, DeclineClass.HARD),
    }
)


def classify(
    decline_code: str | None, advice_code: str | None = None
) -> tuple[DeclineClass, Advice | None]:
    """Return the class of a decline and the advice; the advice outranks the code."""
    advice, by_advice = _ADVICE.get(advice_code or "", (None, None))
    return by_advice or DECLINE_CLASSES.get(decline_code or "", DeclineClass.SOFT), advice
