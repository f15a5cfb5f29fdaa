"""What each test payment method does when it is attached and charged.

Stripe's own tokens (`pm_card_visa`, ...) are a table. Ours follow one small grammar:

    pm_sbx_<step>[_<count>][_then_<step>[_<count>]]...

which steps.py reads. A step is `ok`, `needs_authentication` or the name of a decline. Charges are
counted per attached payment method. What happens long after a good charge (a refund that fails, a
dispute) has tokens of its own. PayPal accounts are `pm_sbx_paypal`, or that and an underscore and
steps of their own.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from billing.sandbox.declines import DECLINES, paypal_decline
from billing.sandbox.steps import Steps, outcome_after, read_steps
from billing.sandbox.wallets import CARD, PAYPAL

OK, AUTHENTICATE = "ok", "needs_authentication"
REVOKED = "mandate_revoked"  # of PayPal, for ever: the payer ends the agreement
_SHORT_NAMES = {
    "decline": "generic_decline",
    "insufficient": "insufficient_funds",
    "expired": "expired_card",
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The steps of a payment method: (outcome, how many charges it lasts)."""

    steps: Steps
    brand: str = "visa"
    last4: str = "4242"
    funding: str = "credit"
    attachable: bool = True
    refund: str | None = None  # one of settings.REFUNDS; None leaves it to the settings
    dispute: str | None = None  # the reason of the dispute that follows each charge
    inquiry: bool = False  # that dispute is an inquiry
    available_at_once: bool = False
    type: str = CARD

    @property
    def counts(self) -> bool:
        """Whether the outcome depends on how often the payment method was charged."""
        return len(self.steps) > 1

    def outcome(self, used: int) -> str:
        """Return what the next charge does, after `used` charges."""
        return outcome_after(self.steps, used)


def _good(brand: str, last4: str, funding: str = "credit") -> Behaviour:
    return Behaviour(((OK, 1),), brand, last4, funding)


def _later(last4: str, **what: Any) -> Behaviour:
    return Behaviour(((OK, 1),), last4=last4, **what)


def _declined(decline: str, last4: str) -> Behaviour:
    return Behaviour(((decline, 1),), last4=last4, attachable=False)


def _asks(last4: str) -> Behaviour:
    return Behaviour(((AUTHENTICATE, 1),), last4=last4)


# Stripe's documentation, "Testing": which cards decline, and that all of these but
# pm_card_chargeCustomerFail can't be attached to a customer.
MAGIC: dict[str, Behaviour] = {
    "visa": _good("visa", "4242"),
    "visa_debit": _good("visa", "5556", "debit"),
    "mastercard": _good("mastercard", "4444"),
    "mastercard_debit": _good("mastercard", "8210", "debit"),
    "mastercard_prepaid": _good("mastercard", "5100", "prepaid"),
    "amex": _good("amex", "8431"),
    "discover": _good("discover", "1117"),
    "diners": _good("diners", "3237"),
    "jcb": _good("jcb", "0505"),
    "unionpay": _good("unionpay", "0005"),
    "gb": _good("visa", "0000"),
    "de": _good("visa", "0003"),
    "chargeCustomerFail": Behaviour((("generic_decline", 1),), last4="0341"),
    "visa_chargeDeclined": _declined("generic_decline", "0002"),
    "chargeDeclined": _declined("generic_decline", "0002"),
    "visa_chargeDeclinedInsufficientFunds": _declined("insufficient_funds", "9995"),
    "visa_chargeDeclinedLostCard": _declined("lost_card", "9987"),
    "visa_chargeDeclinedStolenCard": _declined("stolen_card", "9979"),
    "chargeDeclinedExpiredCard": _declined("bare_expired_card", "0069"),
    "chargeDeclinedIncorrectCvc": _declined("bare_incorrect_cvc", "0127"),
    "chargeDeclinedProcessingError": _declined("bare_processing_error", "0119"),
    "visa_chargeDeclinedVelocityLimitExceeded": _declined("card_velocity_exceeded", "6975"),
    "radarBlock": _declined("fraudulent", "0019"),
    "authenticationRequired": _asks("3184"),
    "authenticationRequiredOnSetup": _asks("3155"),
    "threeDSecure2Required": _asks("3220"),
    "authenticationRequiredSetupForOffSession": _good("visa", "0446"),
    "bypassPending": _later("0077", available_at_once=True),
    "pendingRefund": _later("7726", refund="pending"),
    "refundFail": _later("5126", refund="fail"),
    "createDispute": _later("0259", dispute="fraudulent"),
    "createDisputeProductNotReceived": _later("2685", dispute="product_not_received"),
    "createDisputeInquiry": _later("1976", dispute="fraudulent", inquiry=True),
}
# Ours, beside the grammar: what Stripe has no token for.
_LATER = {"refund_pending_then_fail": _later("5126", refund="pending_then_fail")}
_PAYPAL_LATER: dict[str, dict[str, Any]] = {
    "refund_pending": {"refund": "pending"},
    "refund_fail": {"refund": "fail"},
    "dispute": {"dispute": "product_not_received"},
    "inquiry": {"dispute": "product_not_received", "inquiry": True},
}
_PAYPAL_SHORT_NAMES = {"decline": "declined", "insufficient": "insufficient_funds"}


def behaviour_of(token: str) -> Behaviour | None:
    """Return what a test token does, or None when there is no such token."""
    if token.startswith("pm_sbx_"):
        return _sandbox_behaviour(token.removeprefix("pm_sbx_"))
    return MAGIC.get(token.removeprefix("pm_card_")) if token.startswith("pm_card_") else None


@lru_cache(maxsize=1024)
def _sandbox_behaviour(text: str) -> Behaviour | None:
    if text in _LATER:
        return _LATER[text]
    if text == PAYPAL:
        return _paypal_behaviour(OK)
    if text.startswith(f"{PAYPAL}_"):
        return _paypal_behaviour(text.removeprefix(f"{PAYPAL}_"))
    steps = read_steps(text, _outcome_of)
    if steps is None:
        return None
    ends_well = steps[-1][0] == OK
    return Behaviour(steps, last4="4242" if ends_well else "0341")


def _paypal_behaviour(text: str) -> Behaviour | None:
    if text in _PAYPAL_LATER:
        return Behaviour(((OK, 1),), PAYPAL, type=PAYPAL, **_PAYPAL_LATER[text])
    steps = read_steps(text, _paypal_outcome_of)
    if steps is None or REVOKED in (outcome for outcome, _ in steps[:-1]):
        return None
    return Behaviour(steps, PAYPAL, type=PAYPAL)


def _paypal_outcome_of(word: str) -> str | None:
    if word in (OK, REVOKED):
        return word
    name = paypal_decline(_PAYPAL_SHORT_NAMES.get(word, word))
    return name if name in DECLINES else None


def _outcome_of(word: str) -> str | None:
    name = _SHORT_NAMES.get(word, word)
    return name if name in (OK, AUTHENTICATE) or name in DECLINES else None
