"""From an authorisation to money in the bank: submission, the daily batch, the disbursement.

A batch a day takes what was submitted until the settlement hour. It is settled some time later, and
what settled on a day is disbursed as one sum for each merchant account some days later.
"""

from datetime import UTC, datetime

from billing.sandbox.braintree import history
from billing.sandbox.braintree.call import DISBURSEMENT, TRANSACTION, MerchantCall, new_ref
from billing.sandbox.braintree.dispute_opening import open_dispute
from billing.sandbox.braintree.instruments import behaviour_of_instrument
from billing.sandbox.braintree.money import converted
from billing.sandbox.braintree.notifications import notify
from billing.sandbox.braintree.settings import DAY
from billing.sandbox.braintree.xml import day_text
from billing.sandbox.store import Record


def submit(call: MerchantCall, record: Record, *, again: bool = False) -> None:
    """Submit a transaction for settlement; `again` for one that was born submitted.

    PayPal answers at once: it settles, declines, or leaves the settlement pending.
    """
    paypal = record["instrument"]["kind"] == "paypal_account"
    if not again:
        history.move(call, record, history.SUBMITTED)
    wanted = record.get("settlement_wanted")
    if paypal:
        record["settlement_code"] = wanted or "4000"
        if wanted is not None:
            history.move(call, record, _refused_as(wanted))
            return
        history.move(call, record, history.SETTLING)
    at = next_batch(call, call.now)
    call.store.remind(at, "bt.batch", record["id"])


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
    account = call.settings.account(record["merchant_account"])
    assert account is not None, "a transaction outlived its merchant account"
    _, facts = account
    date = disbursement_day(call)
    record["settled_on"] = day_text(call.now)
    record["disbursed_on"] = date
    record["planned"] = {
        "amount": converted(
            record["amount"], record["currency"], facts.settlement_currency, facts.exchange_rate
        ),
        "currency": facts.settlement_currency,
        "rate": facts.exchange_rate,
    }
    history.move(call, record, history.SETTLED, source="")
    plan_disbursement(call, record["merchant_account"], date)
    behaviour = behaviour_of_instrument(record["instrument"])
    if behaviour is not None and behaviour.dispute is not None and record["type"] == "sale":
        open_dispute(call, record, kind=behaviour.dispute)


def disbursement_day(call: MerchantCall) -> str:
    """Return the date on which what happens now reaches the bank."""
    return day_text(call.now + call.settings.disbursed_after_days * DAY)


def plan_disbursement(call: MerchantCall, account: str, date: str) -> None:
    """Plan the disbursement of a merchant account on a date, once."""
    ref = f"{date}_{account}"
    if call.find(DISBURSEMENT, ref) is not None:
        return
    at = int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp())
    record: Record = {"account": account, "date": date, "public": new_ref(8), "done": False}
    call.insert(DISBURSEMENT, record, ref=ref)
    # At the end of the date's first hour, so that what settles at midnight is in it.
    call.store.remind(max(at + 3_600, call.now), "bt.disburse", record["id"])


def disbursed(call: MerchantCall, key: str) -> None:
    """Pay out what a merchant account has coming on a date, and tell of it."""
    record = call.stored(DISBURSEMENT, key)
    paid = due_on(call, record["account"], record["date"])
    for each in paid:
        each["disbursement"] = {**each["planned"], "date": record["date"]}
        call.update(each)
        notify(call, "transaction_disbursed", each)
    record |= {
        "done": True,
        "transactions": [each["ref"] for each in paid],
        "amount": sum(_signed(each) for each in paid),
        "currency": paid[0]["planned"]["currency"] if paid else None,
    }
    call.update(record)
    if paid:
        notify(call, "disbursement", record)


def _signed(record: Record) -> int:
    amount = int(record["planned"]["amount"])
    return amount if record["type"] == "sale" else -amount


def due_on(call: MerchantCall, account: str, date: str) -> list[Record]:
    """Return the transactions that a merchant account is paid on a date, the oldest first."""
    found = call.select(
        TRANSACTION, [("json_extract(body, '$.disbursed_on') = ?", date)], oldest_first=True
    )
    return [each for each in found if each["merchant_account"] == account]


def expired(call: MerchantCall, key: str) -> None:
    """Let an authorisation expire that was neither submitted nor voided."""
    record = call.stored(TRANSACTION, key)
    if record["status"] == history.AUTHORIZED:
        history.move(call, record, history.EXPIRED, source="")
