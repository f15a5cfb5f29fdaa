"""What a provider's books can get wrong: amounts that differ, transactions doubled or not shown."""

from billing.sandbox.braintree import history
from billing.sandbox.braintree.call import TRANSACTION, MerchantCall
from billing.sandbox.braintree.changes import copied
from billing.sandbox.braintree.disbursing import payable
from billing.sandbox.braintree.outcomes import Outcome
from billing.sandbox.braintree.settling import submit
from billing.sandbox.braintree.transactions import begin
from billing.sandbox.store import Record


def alter_amount(call: MerchantCall, record: Record, amount: int) -> None:
    """Have a transaction be of another amount, on its way to the bank as well."""
    record["amount"] = amount
    if record["disbursed_on"] is not None:
        alter_settled(call, record, int(payable(call, record, amount)["amount"]))


def alter_settled(call: MerchantCall, record: Record, amount: int) -> None:
    """Have another amount of a settled transaction reach the bank. Minor units there."""
    if record["disbursed_on"] is None:
        raise ValueError("the transaction is not settled yet")
    record["planned"]["amount"] = amount
    if record["disbursement"] is not None:
        record["disbursement"]["amount"] = amount


def charge_again(call: MerchantCall, sale: Record) -> Record:
    """Charge once more for the same order, with the same card or account."""
    if sale["type"] != "sale" or sale["status"] in history.UNSUCCESSFUL:
        raise ValueError("a sale that succeeded can be charged again")
    record = copied(sale, "sale", sale["amount"])
    begin(call, record, Outcome(history.AUTHORIZED, sale["code"]))
    submit(call, record)
    return call.stored(TRANSACTION, record["id"])
