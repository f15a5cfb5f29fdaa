"""From an authorisation to a settled transaction: submission and the daily batch.

A batch a day takes what was submitted until the settlement hour; it is settled some time later.
"""

from billing.sandbox.braintree import history
from billing.sandbox.braintree.call import TRANSACTION, MerchantCall
from billing.sandbox.braintree.disbursing import (
    account_of,
    disbursement_day,
    fee_of,
    payable,
    plan_disbursement,
)
from billing.sandbox.braintree.dispute_opening import open_dispute
from billing.sandbox.braintree.instruments import behaviour_of_instrument
from billing.sandbox.braintree.settings import DAY
from billing.sandbox.braintree.xml import day_text
from billing.sandbox.store import Record


def submit(call: MerchantCall, record: Record, *, again: bool = False) -> None:
    """Submit a transaction for settlement; `again` for one that was born submitted.

    PayPal answers at once: it settles, declines, or leaves the settlement pending.
    """
    if not again:
        history.move(call, record, history.SUBMITTED)
    wanted = record.get("settlement_wanted")
    if _is_paypal(record):
        record["settlement_code"] = wanted or "4000"
        if wanted is not None:
            history.move(call, record, _refused_as(wanted))
            return
        history.move(call, record, history.SETTLING)
    at = next_batch(call, call.now)
    call.store.remind(at, "bt.batch", record["id"])


def _is_paypal(record: Record) -> bool:
    return bool(record["instrument"]["kind"] == "paypal_account")


def _refused_as(code: str) -> str:
    return history.PENDING if code == "4002" else history.DECLINED


def next_batch(call: MerchantCall, now: int) -> int:
    """Return the next settlement hour after an instant."""
    today = now - now % DAY + call.settings.settlement_hour * 3_600
    return today if today > now else today + DAY


def batched(call: MerchantCall, key: str) -> None:
    """Put a submitted transaction into the batch of the hour."""
    record = call.stored(TRANSACTION, key)
    if record["status"] not in (history.SUBMITTED, history.SETTLING):
        return
    record["batch"] = batch_id(call, record)
    if record["status"] == history.SUBMITTED:
        history.move(call, record, history.SETTLING, source="")
    else:
        call.update(record)
    call.store.remind(call.now + call.settings.settled_after_seconds, "bt.settle", key)


def batch_id(call: MerchantCall, record: Record) -> str:
    """Return the id of the batch that a transaction is in now."""
    return f"{day_text(call.now)}_{record['merchant_account']}_{record['instrument']['kind']}"


def settled(call: MerchantCall, key: str) -> None:
    """Settle what is in a batch, or have the processor decline it."""
    record = call.stored(TRANSACTION, key)
    if record["status"] != history.SETTLING:
        return
    wanted = record.get("settlement_wanted")
    record["settlement_code"] = wanted or "4000"
    if wanted is not None:
        history.move(call, record, _refused_as(wanted), source="")
        return
    settle(call, record)


def settle(call: MerchantCall, record: Record) -> None:
    """Settle a transaction and plan its disbursement."""
    if record["batch"] is None:
        record["batch"] = batch_id(call, record)
    record["settled_on"] = day_text(call.now)
    record["planned"] = payable(call, record, record["amount"])
    record["fee"] = fee_of(record, account_of(call, record["merchant_account"]))
    goes_to_bank = call.settings.paypal_disbursed or not _is_paypal(record)
    record["disbursed_on"] = disbursement_day(call) if goes_to_bank else None
    history.move(call, record, history.SETTLED, source="")
    if goes_to_bank:
        plan_disbursement(call, record["merchant_account"])
    behaviour = behaviour_of_instrument(record["instrument"])
    if behaviour is not None and behaviour.dispute is not None and record["type"] == "sale":
        open_dispute(call, record, kind=behaviour.dispute)


def expired(call: MerchantCall, key: str) -> None:
    """Let an authorisation expire that was neither submitted nor voided."""
    record = call.stored(TRANSACTION, key)
    if record["status"] == history.AUTHORIZED:
        history.move(call, record, history.EXPIRED, source="")
