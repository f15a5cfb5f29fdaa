"""What each nonce stands for: a card or a PayPal account, and what its charges do.

The SDK's own nonces (`fake-valid-visa-nonce`, ...) are a table. Ours follow steps.py:

    sbx_card_<steps>    sbx_paypal_<steps>

Charges are counted per vaulted payment method. An outcome is `ok`, the code of the processor's
answer (with `+` and Mastercard's advice), `gateway:` with the reason of a rejection, or `settle:`
with the answer to the settlement.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from billing.sandbox.braintree.cards import brand_of, indicators_of, unique_identifier
from billing.sandbox.braintree.codes import is_decline
from billing.sandbox.braintree.xml import day_text
from billing.sandbox.steps import Steps, read_steps
from billing.sandbox.store import Record

OK = "ok"
_ALWAYS: Steps = ((OK, 1),)
_CARD_STEPS = {
    "ok": OK,
    "decline": "2000",
    "insufficient": "2001",
    "insufficient_funds": "2001",
    "limit_exceeded": "2002",
    "activity_limit": "2003",
    "expired": "2004",
    "invalid_number": "2005",
    "invalid_expiration": "2006",
    "no_account": "2007",
    "issuer_declined_cvv": "2010",
    "lost_card": "2012",
    "stolen_card": "2013",
    "fraud_suspected": "2014",
    "not_allowed": "2015",
    "stopped_billing": "2017",
    "stopped_all_billing": "2018",
    "call_issuer": "2044",
    "pick_up_card": "2047",
    "lost_or_stolen": "2053",
    "restricted": "2057",
    "authentication_required": "2099",
    "advised_new_account": "2000+01",
    "advised_later": "2000+02",
    "advised_never": "2000+03",
    "advised_canceled": "2000+21",
    "failed": "3000",
    "gateway_cvv": "gateway:cvv",
    "gateway_avs": "gateway:avs",
    "gateway_fraud": "gateway:fraud",
    "gateway_risk": "gateway:risk_threshold",
    "settlement_declined": "settle:4001",
}
_PAYPAL_STEPS = {
    "ok": OK,
    "decline": "2046",
    "funding": "2074",
    "revoked": "2070",
    "locked": "2075",
    "cannot_pay": "2076",
    "risk": "2077",
    "limit_exceeded": "2086",
    "invalid": "2093",
    "processor_declined": "2038",
    "failed": "3000",
    "gateway_fraud": "gateway:fraud",
    "settlement_declined": "settle:4001",
    "settlement_pending": "settle:4002",
}


@dataclass(frozen=True, slots=True)
class NonceBehaviour:
    """What a nonce stands for."""

    kind: str = "credit_card"
    number: str = "4012888888881881"  # a published test number; its ends are kept
    email: str = "jane.doe@paypal.com"
    steps: Steps = _ALWAYS
    vaultable: bool = True
    refusal: str | None = None  # consumed, invalid_number
    indicators: dict[str, str] = field(default_factory=dict)
    dispute: str | None = None  # the kind of dispute that follows a settled charge
    refund: str | None = None  # the processor's answer to refunds

    def instrument(self, nonce: str, now: int) -> Record:
        """Return what is kept of the card or account, fit for a payment method or transaction."""
        if self.kind == "paypal_account":
            return {"kind": self.kind, "email": self.email, "nonce": nonce}
        return {
            "kind": self.kind,
            "card_type": brand_of(self.number),
            "bin": self.number[:6],
            "bin_extended": self.number[:8],
            "last4": self.number[-4:],
            "exp_month": "12",
            "exp_year": str(int(day_text(now)[:4]) + 4),
            "cardholder_name": None,
            "unique": unique_identifier(self.number),
            "indicators": self.indicators or indicators_of(self.number),
            "nonce": nonce,
            "cvv": "I",
            "expired": False,
        }


def _card(number: str, *outcomes: str) -> NonceBehaviour:
    steps: Steps = tuple((each, 1) for each in outcomes) or _ALWAYS
    return NonceBehaviour(number=number, steps=steps)


def _with(**indicators: str) -> NonceBehaviour:
    return NonceBehaviour(number="4111111111111111", indicators=indicators)


_VISA, _AMEX = "4012888888881881", "378282246310005"
_MASTERCARD, _DISCOVER = "5555555555554444", "6011111111111117"
_JCB = "3530111333300000"
# Braintree's documentation, "Testing": payment method nonces.
_PUBLISHED: dict[str, NonceBehaviour] = {
    "fake-valid-nonce": _card(_VISA),
    "fake-valid-visa-nonce": _card(_VISA),
    "fake-valid-amex-nonce": _card(_AMEX),
    "fake-valid-mastercard-nonce": _card(_MASTERCARD),
    "fake-valid-discover-nonce": _card(_DISCOVER),
    "fake-valid-jcb-nonce": _card(_JCB),
    "fake-valid-dinersclub-nonce": _card("36259600000004"),
    "fake-valid-maestro-nonce": _card("6304000000000000"),
    "fake-valid-prepaid-nonce": _with(prepaid="Yes"),
    "fake-valid-prepaid-reloadable-nonce": _with(prepaid="Yes", prepaid_reloadable="Yes"),
    "fake-valid-commercial-nonce": _with(commercial="Yes"),
    "fake-valid-business-nonce": _with(business="Yes"),
    "fake-valid-consumer-nonce": _with(consumer="Yes"),
    "fake-valid-corporate-nonce": _with(corporate="Yes"),
    "fake-valid-purchase-nonce": _with(purchase="Yes"),
    "fake-valid-durbin-regulated-nonce": _with(durbin_regulated="Yes"),
    "fake-valid-healthcare-nonce": _with(healthcare="Yes"),
    "fake-valid-debit-nonce": _with(debit="Yes"),
    "fake-valid-payroll-nonce": _with(payroll="Yes"),
    "fake-valid-no-indicators-nonce": _card("4111111111310101"),
    "fake-valid-unknown-indicators-nonce": _card("4111111111112101"),
    "fake-valid-country-of-issuance-usa-nonce": _with(country_of_issuance="USA"),
    "fake-valid-country-of-issuance-cad-nonce": _with(country_of_issuance="CAN"),
    "fake-valid-issuing-bank-network-only-nonce": _with(issuing_bank="NETWORK ONLY"),
    "fake-abstract-transactable-nonce": _card(_VISA),
    "fake-processor-declined-visa-nonce": _card("4000111111111115", "2000"),
    "fake-processor-declined-mastercard-nonce": _card("5105105105105100", "2000"),
    "fake-processor-declined-amex-nonce": _card("378734493671000", "2000"),
    "fake-processor-declined-discover-nonce": _card("6011000990139424", "2000"),
    "fake-processor-failure-jcb-nonce": _card("3566002020360505", "3000"),
    "fake-gateway-rejected-fraud-nonce": _card(_VISA, "gateway:fraud"),
    "fake-gateway-rejected-risk-thresholds-nonce": _card(_VISA, "gateway:risk_threshold"),
    "fake-consumed-nonce": NonceBehaviour(refusal="consumed"),
    "fake-luhn-invalid-nonce": NonceBehaviour(refusal="invalid_number"),
    "fake-paypal-billing-agreement-nonce": NonceBehaviour(kind="paypal_account"),
    "fake-paypal-future-nonce": NonceBehaviour(kind="paypal_account"),
    "fake-paypal-future-refresh-token-nonce": NonceBehaviour(kind="paypal_account"),
    "fake-paypal-one-time-nonce": NonceBehaviour(
        kind="paypal_account", email="payer@example.com", vaultable=False
    ),
}
# Ours, beside the grammar.
_LATER: dict[str, NonceBehaviour] = {
    "sbx_card_chargeback": NonceBehaviour(dispute="chargeback"),
    "sbx_card_retrieval": NonceBehaviour(dispute="retrieval"),
    "sbx_card_refund_declined": NonceBehaviour(refund="2046"),
    "sbx_paypal_chargeback": NonceBehaviour(kind="paypal_account", dispute="chargeback"),
    "sbx_paypal_refund_declined": NonceBehaviour(kind="paypal_account", refund="2065"),
}


@lru_cache(maxsize=1024)
def behaviour_of(nonce: str) -> NonceBehaviour | None:
    """Return what a nonce stands for, or None when there is no such nonce."""
    found = _PUBLISHED.get(nonce) or _LATER.get(nonce)
    if found is not None:
        return found
    if nonce.startswith("sbx_card_"):
        steps = read_steps(nonce.removeprefix("sbx_card_"), _card_outcome)
        return None if steps is None else NonceBehaviour(steps=steps)
    if nonce.startswith("sbx_paypal_"):
        steps = read_steps(nonce.removeprefix("sbx_paypal_"), _paypal_outcome)
        return None if steps is None else NonceBehaviour(kind="paypal_account", steps=steps)
    return None


def _card_outcome(word: str) -> str | None:
    return _CARD_STEPS.get(word) or _by_code(word)


def _paypal_outcome(word: str) -> str | None:
    return _PAYPAL_STEPS.get(word) or _by_code(word)


def _by_code(word: str) -> str | None:
    """Read `code2046`: any documented answer of the processor."""
    code = word.removeprefix("code")
    return code if word.startswith("code") and is_decline(code) else None
