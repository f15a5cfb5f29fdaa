"""What becomes of a sale: the gateway's own checks, the card's or account's steps, the amount."""

from dataclasses import dataclass

from billing.sandbox.braintree import codes
from billing.sandbox.braintree.behaviours import OK
from billing.sandbox.braintree.call import METHOD, TRANSACTION, MerchantCall
from billing.sandbox.braintree.history import (
    AUTHORIZED,
    FAILED,
    PROCESSOR_DECLINED,
    REJECTED,
    UNSUCCESSFUL,
)
from billing.sandbox.braintree.instruments import behaviour_of_instrument
from billing.sandbox.braintree.money import hundredths
from billing.sandbox.steps import outcome_after
from billing.sandbox.store import Record


@dataclass(frozen=True, slots=True)
class Outcome:
    """The first status, the processor's code, and what follows later."""

    status: str
    code: str | None
    reason: str | None = None  # of the gateway's rejection
    advice: str | None = None  # Mastercard's, with a decline
    settlement: str | None = None  # the processor's answer to the settlement, when it isn't good


def decide(call: MerchantCall, record: Record, *, keyed: bool) -> Outcome:
    """Return what becomes of a sale, and count it for its payment method."""
    if not keyed and _is_duplicate(call, record):
        return Outcome(REJECTED, None, "duplicate")
    reason = _rejected(call, record)
    if reason is not None:
        return Outcome(REJECTED, codes.APPROVED, reason)
    step = _step(call, record)
    if step.startswith("settle:"):
        return Outcome(AUTHORIZED, codes.APPROVED, settlement=step.partition(":")[2])
    if step.startswith("gateway:"):
        return Outcome(REJECTED, codes.APPROVED, step.partition(":")[2])
    if step != OK:
        code, _, advice = step.partition("+")
        status = FAILED if code == codes.UNAVAILABLE else PROCESSOR_DECLINED
        return Outcome(status, code, advice=advice or None)
    return _by_amount(call, record)


def _is_duplicate(call: MerchantCall, record: Record) -> bool:
    """Whether a sale of the same amount, order and means was made within the window."""
    if not call.settings.duplicate_transaction_checking:
        return False
    since = call.now - call.settings.duplicate_window_seconds
    return any(
        _alike(each, record)
        for each in call.select(TRANSACTION, [("created > ?", since)])
        if each["status"] not in UNSUCCESSFUL
    )


def _alike(one: Record, other: Record) -> bool:
    names = ("type", "amount", "order_id", "customer_ref", "merchant_account")
    return all(one[name] == other[name] for name in names) and _means(one) == _means(other)


def _means(record: Record) -> tuple[str | None, ...]:
    instrument = record["instrument"]
    return instrument.get("unique"), instrument.get("email")


def _rejected(call: MerchantCall, record: Record) -> str | None:
    """Return why the gateway rejects what the processor would take."""
    rules = call.settings.gateway_rejects
    cvv = "cvv" in rules and record["instrument"].get("cvv") == "N"
    avs = "avs" in rules and "N" in (record["avs_postal"], record["avs_street"])
    if cvv and avs:
        return "avs_and_cvv"
    return "cvv" if cvv else "avs" if avs else None


def _step(call: MerchantCall, record: Record) -> str:
    """Return the next step of the card or account."""
    method = None
    if record["method"] is not None:
        method = call.stored(METHOD, record["method"])
        method["uses"] += 1
        call.store.update(method)
        if method["revoked_at"] is not None:
            return "2070"
    fails = record["instrument"].get("fails")
    behaviour = behaviour_of_instrument(record["instrument"])
    if fails or behaviour is None:
        return fails or OK
    return outcome_after(behaviour.steps, 0 if method is None else method["uses"] - 1)


def _by_amount(call: MerchantCall, record: Record) -> Outcome:
    """Apply the documented test amounts, which hold in every currency."""
    good = Outcome(AUTHORIZED, codes.APPROVED)
    if not call.settings.test_amounts:
        return good
    amount = hundredths(record["amount"], record["currency"])
    whole, paypal = amount // 100, record["instrument"]["kind"] == "paypal_account"
    if 2000 <= whole < 3000:
        advice = "01" if record["instrument"].get("card_type") == "MasterCard" else None
        return Outcome(PROCESSOR_DECLINED, str(whole), advice=advice)
    if whole == 3000:
        return Outcome(FAILED, codes.UNAVAILABLE)
    if amount == 500_100:
        return Outcome(REJECTED, None, "application_incomplete")
    if paypal and amount == 500_101:
        return Outcome(PROCESSOR_DECLINED, "2038")
    if paypal and 4001 <= whole <= 5000:
        return Outcome(AUTHORIZED, codes.APPROVED, settlement=str(whole))
    if whole == 1004 and record["partial_allowed"]:
        return Outcome(AUTHORIZED, codes.PARTLY_APPROVED)
    return good


def refund_code(call: MerchantCall, sale: Record, amount: int) -> str | None:
    """Return the decline of a refund; None when it is processed."""
    behaviour = behaviour_of_instrument(sale["instrument"])
    if behaviour is not None and behaviour.refund is not None:
        return behaviour.refund
    whole = hundredths(amount, sale["currency"]) // 100
    return str(whole) if call.settings.test_amounts and 2000 <= whole < 3000 else None
