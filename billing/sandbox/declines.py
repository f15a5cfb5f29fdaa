"""The declines of the sandbox: error code, decline code, advice and wording of each.

`code` and `decline_code` follow Stripe's list of decline codes; `advice_code` follows its
retry guidance: card data to be corrected, not to be tried again, or to be tried later.
"""

from dataclasses import dataclass

from billing.sandbox.errors import Body, error_body

LATER, CARD_DATA, NEVER = "try_again_later", "confirm_card_data", "do_not_try_again"


@dataclass(frozen=True, slots=True)
class Decline:
    """A definite no. `network` is the card network's own response code."""

    code: str
    decline_code: str | None
    advice_code: str | None
    message: str
    network: str | None = None


def _declined(
    decline_code: str | None,
    advice_code: str | None,
    network: str | None = "05",
    message: str = "Your card was declined.",
    code: str = "card_declined",
) -> Decline:
    return Decline(code, decline_code, advice_code, message, network)


def _by_paypal(code: str, decline_code: str | None = None) -> Decline:
    message = "The payment was declined by PayPal or by its payer."
    return Decline(f"payment_method_{code}", decline_code, None, message)


_NO_FUNDS = "Your card has insufficient funds."
_EXPIRED = "Your card has expired."
_CVC = "Your card's security code is incorrect."
_NUMBER = "Your card number is incorrect."
_PROCESSING = "An error occurred while processing your card. Try again in a little bit."
_AUTHENTICATE = "Your card was declined. This transaction requires authentication."
_PURCHASE = "Your card does not support this type of purchase."
_VELOCITY = (
    "Your card was declined for making repeated attempts too frequently"
    " or exceeding its amount limit."
)

DECLINES: dict[str, Decline] = {
    "generic_decline": _declined("generic_decline", LATER),
    "insufficient_funds": _declined("insufficient_funds", LATER, "51", _NO_FUNDS),
    "do_not_honor": _declined("do_not_honor", LATER),
    "try_again_later": _declined("try_again_later", LATER),
    "card_velocity_exceeded": _declined("card_velocity_exceeded", LATER, "65", _VELOCITY),
    "withdrawal_count_limit_exceeded": _declined(
        "withdrawal_count_limit_exceeded", LATER, "61", _VELOCITY
    ),
    "issuer_not_available": _declined("issuer_not_available", LATER, "91"),
    "processing_error": _declined("processing_error", LATER, None, _PROCESSING, "processing_error"),
    "expired_card": _declined("expired_card", CARD_DATA, "54", _EXPIRED, "expired_card"),
    "incorrect_cvc": _declined("incorrect_cvc", CARD_DATA, "N7", _CVC, "incorrect_cvc"),
    "incorrect_number": _declined("incorrect_number", CARD_DATA, "14", _NUMBER, "incorrect_number"),
    "confirm_card_data": _declined("generic_decline", CARD_DATA),
    "lost_card": _declined("lost_card", NEVER, "41"),
    "stolen_card": _declined("stolen_card", NEVER, "43"),
    "pickup_card": _declined("pickup_card", NEVER, "04"),
    "fraudulent": _declined("fraudulent", NEVER, "59"),
    "transaction_not_allowed": _declined("transaction_not_allowed", NEVER, "57", _PURCHASE),
    "revocation_of_authorization": _declined("revocation_of_authorization", NEVER, "R1"),
    "revocation_of_all_authorizations": _declined("revocation_of_all_authorizations", NEVER, "R3"),
    "do_not_try_again": _declined("generic_decline", NEVER),
    "no_advice": _declined("generic_decline", None),
    "highest_risk_level": _declined("highest_risk_level", NEVER, None),
    "authentication_required": _declined(
        "authentication_required", None, "1A", _AUTHENTICATE, "authentication_required"
    ),
    # Stripe's own test cards for these carry no decline code.
    "bare_expired_card": _declined(None, CARD_DATA, "54", _EXPIRED, "expired_card"),
    "bare_incorrect_cvc": _declined(None, CARD_DATA, "N7", _CVC, "incorrect_cvc"),
    "bare_processing_error": _declined(None, LATER, None, _PROCESSING, "processing_error"),
    # Of PayPal, by Stripe's error codes; neither advice nor a network comes with them.
    "paypal:declined": _by_paypal("provider_decline"),
    "paypal:insufficient_funds": _by_paypal("provider_decline", "insufficient_funds"),
    "paypal:generic_decline": _by_paypal("provider_decline", "partner_generic_decline"),
    "paypal:limit_exceeded": _by_paypal("provider_decline", "payment_limit_exceeded"),
    "paypal:high_risk": _by_paypal("provider_decline", "partner_high_risk_customer"),
    "paypal:agreement_ended": _by_paypal("provider_decline", "invalid_billing_agreement"),
    "paypal:customer_declined": _by_paypal("customer_decline"),
    "paypal:timeout": _by_paypal("provider_timeout"),
    "paypal:unavailable": _by_paypal("not_available"),
}


def paypal_decline(step: str) -> str:
    """Return the name of PayPal's decline of a step; no step of a card has a colon."""
    return f"paypal:{step}"


def decline_error(
    name: str,
    *,
    charge: str | None = None,
    payment_method: Body | None = None,
    payment_intent: Body | None = None,
) -> Body:
    """Return the card error of a decline, as `{"error": {...}}`."""
    decline = DECLINES[name]
    return error_body(
        "card_error",
        decline.message,
        code=decline.code,
        decline_code=decline.decline_code,
        advice_code=decline.advice_code,
        network_decline_code=decline.network,
        charge=charge,
        payment_method=payment_method,
        payment_intent=payment_intent,
    )
