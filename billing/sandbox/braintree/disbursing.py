"""Disbursements: what settled on a day reaches the bank as one sum for each merchant account.

A dispute's money goes with the disbursement of the date that its status history says.
"""

from datetime import UTC, datetime

from billing.sandbox.braintree.call import DISBURSEMENT, DISPUTE, TRANSACTION, MerchantCall, new_ref
from billing.sandbox.braintree.money import converted, minor_units
from billing.sandbox.braintree.notifications import notify
from billing.sandbox.braintree.settings import DAY, MerchantAccount
from billing.sandbox.braintree.xml import day_text
from billing.sandbox.store import Record


def disbursement_day(call: MerchantCall) -> str:
    """Return the date on which what happens now reaches the bank."""
    return day_text(call.now + call.settings.disbursed_after_days * DAY)


def account_of(call: MerchantCall, name: str) -> MerchantAccount:
    """Return a merchant account that has transactions."""
    found = call.settings.account(name)
    assert found is not None, f"a transaction outlived its merchant account {name}"
    return found[1]


def payable(call: MerchantCall, record: Record, amount: int) -> Record:
    """Return what an amount of a merchant account's currency is worth on its way to the bank."""
    account = account_of(call, record["merchant_account"])
    worth = converted(
        amount, record["currency"], account.settlement_currency, account.exchange_rate
    )
    return {
        "amount": worth,
        "currency": account.settlement_currency,
        "rate": account.exchange_rate,
    }


def plan_disbursement(call: MerchantCall, account: str) -> None:
    """Plan the disbursement that what happens now is in, once."""
    date = disbursement_day(call)
    ref = f"{date}_{account}"
    if call.find(DISBURSEMENT, ref) is not None:
        return
    at = int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp())
    record: Record = {"account": account, "date": date, "public": new_ref(8), "done": False}
    call.insert(DISBURSEMENT, record, ref=ref)
    # In the date's first hour; on the day itself, when nothing else can get into it.
    same_day = call.settings.disbursed_after_days == 0
    call.store.remind(at + (DAY - 1 if same_day else 3_600), "bt.disburse", record["id"])


def disbursed(call: MerchantCall, key: str) -> None:
    """Pay out what a merchant account has coming on a date, and tell of it."""
    record = call.stored(DISBURSEMENT, key)
    account = account_of(call, record["account"])
    paid = due_on(call, record["account"], record["date"])
    amount = _of_disputes(call, record)
    for each in paid:
        each["disbursement"] = {**each["planned"], "date": record["date"]}
        call.update(each)
        notify(call, "transaction_disbursed", each)
        gross = int(each["planned"]["amount"])
        amount += gross if each["type"] == "sale" else -gross
        if call.settings.fees_from_disbursement:
            amount -= fee_of(each, account)
    record |= {
        "done": True,
        "transactions": [each["ref"] for each in paid],
        "amount": amount,
        "currency": account.settlement_currency,
    }
    call.update(record)
    notify(call, "disbursement", record)


def _of_disputes(call: MerchantCall, disbursement: Record) -> int:
    """Return what disputes bring on the disbursement's date: less than nothing for chargebacks."""
    brought = 0
    for dispute in call.select(DISPUTE):
        if dispute["merchant_account"] != disbursement["account"]:
            continue
        worth = int(payable(call, dispute, dispute["amount"])["amount"])
        for event in dispute["history"]:
            if event["disbursed_on"] == disbursement["date"]:
                brought += worth if event["status"] == "won" else -worth
    return brought


def due_on(call: MerchantCall, account: str, date: str) -> list[Record]:
    """Return the transactions that a merchant account is paid on a date, the oldest first."""
    found = call.select(
        TRANSACTION, [("json_extract(body, '$.disbursed_on') = ?", date)], oldest_first=True
    )
    return [
        each for each in found if each["merchant_account"] == account and not each.get("hidden")
    ]


def fee_of(record: Record, account: MerchantAccount) -> int:
    """Return the fee for a disbursed transaction: none for refunds, whose sale's fee is kept."""
    if record["type"] != "sale":
        return 0
    currency = account.settlement_currency
    share = converted(int(record["planned"]["amount"]), currency, currency, account.fee_rate)
    return share + (minor_units(account.fee_fixed, currency) or 0)
