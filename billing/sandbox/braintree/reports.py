"""The transaction-level fee report: a CSV file for each day and merchant account.

The SDK has no gateway of its own for it: one asks its `graphql_client` for
`report { transactionLevelFees(date: $date, merchantAccountId: $merchantAccountId) { url } }`.
"""

import csv
import io
import json
import re
from typing import Any

from billing.sandbox.braintree import credentials
from billing.sandbox.braintree.call import MerchantCall
from billing.sandbox.braintree.disbursing import due_on, fee_of
from billing.sandbox.braintree.money import decimal_text
from billing.sandbox.braintree.settings import MerchantAccount
from billing.sandbox.braintree.transaction_view import ref_of
from billing.sandbox.braintree.xml import MalformedBody, read_json
from billing.sandbox.call import Call
from billing.sandbox.http import HttpAnswer, HttpRequest
from billing.sandbox.store import Record

# The flat-fee report's columns, as Braintree's SDK for Java reads them.
COLUMNS = (
    "Merchant Account ID",
    "Transaction ID",
    "Original Transaction ID",
    "Transaction Type",
    "Presentment Currency",
    "Settlement Currency",
    "Settlement Amount",
    "Settlement Date",
    "Disbursement Date",
    "Payment Instrument",
    "Card Brand",
    "Card Type",
    "First 6 of CC",
    "Issuing Bank",
    "Refunded Amount",
    "Exchange Rate",
    "Order ID",
    "Acquirer Reference Number",
    "Card Issuing Country",
    "Discount",
    "Discount Credit",
    "Per Transaction Fee",
    "Per Transaction Fee Credit",
    "Original Sale Amount",
    "Refund Type",
    "Multicurrency Fee Amount",
    "Multicurrency Fee Credit",
    "Total Fee Amount",
)
_ASKED = re.compile(r"\b(?:transaction|payment)LevelFees\s*\(([^)]*)\)")
_ARGUMENT = re.compile(r"(\w+)\s*:\s*(?:\$(\w+)|\"([^\"]*)\")")
_NAME = re.compile(r"(\d{4}-\d\d-\d\d)_([\w-]+)\.csv")


def graphql(call: Call, request: HttpRequest, public: str, private: str) -> HttpAnswer:
    """Answer the one question that is answered by GraphQL here."""
    with call.store.reading():
        of = credentials.of_public(call, public, private)
    if of is None:
        return _error("AUTHENTICATION", "Authentication credentials are invalid.")
    try:
        sent = read_json(request.body)
    except MalformedBody:
        sent = {}
    found = _ASKED.search(str(sent.get("query", "")))
    if found is None:
        return _error("VALIDATION", "The sandbox answers transactionLevelFees only.")
    asked = _arguments(found[1], sent.get("variables") or {})
    account = of.settings.account(asked.get("merchantAccountId"))
    if account is None:
        text = f"Invalid merchant account id: {asked['merchantAccountId']}"
        return _error("VALIDATION", text)
    date = str(asked.get("date", ""))[:10]
    url = f"{of.base_url}/merchants/{of.merchant}/fee_reports/{date}_{account[0]}.csv"
    with call.store.reading():
        there = bool(_rows(of, account[0], account[1], date))
    return _json({"data": {"report": {"transactionLevelFees": {"url": url if there else None}}}})


def _arguments(text: str, variables: dict[str, Any]) -> dict[str, Any]:
    return {
        name: variables.get(variable) if variable else literal
        for name, variable, literal in _ARGUMENT.findall(text)
    }


def _error(kind: str, message: str) -> HttpAnswer:
    error = {"message": message, "extensions": {"errorClass": kind}}
    return _json({"data": None, "errors": [error]})


def _json(body: dict[str, Any]) -> HttpAnswer:
    return HttpAnswer(200, json.dumps(body).encode())


def file(call: MerchantCall, name: str) -> HttpAnswer:
    """Return a report's file; like Braintree's, its URL needs no key."""
    found = _NAME.fullmatch(name)
    account = None if found is None else call.settings.account(found[2])
    if found is None or account is None:
        return HttpAnswer(404, b"", content_type="text/csv")
    rows = _rows(call, account[0], account[1], found[1])
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return HttpAnswer(200, out.getvalue().encode(), content_type="text/csv")


def _rows(
    call: MerchantCall, name: str, account: MerchantAccount, date: str
) -> list[dict[str, str]]:
    paid = [each for each in due_on(call, name, date) if each["disbursement"] is not None]
    return [_row(each, account) for each in paid]


def _row(record: Record, account: MerchantAccount) -> dict[str, str]:
    paid, instrument = record["disbursement"], record["instrument"]
    sale, currency = record["type"] == "sale", paid["currency"]
    of = record["refunded_transaction"]
    arn = f"7{record['network_transaction_id']}" if instrument["kind"] == "credit_card" else ""
    nothing = decimal_text(0, currency)
    return {
        "Merchant Account ID": record["merchant_account"],
        "Transaction ID": record["ref"],
        "Original Transaction ID": "" if of is None else ref_of(of),
        "Transaction Type": record["type"],
        "Presentment Currency": record["currency"],
        "Settlement Currency": currency,
        "Settlement Amount": decimal_text(paid["amount"], currency),
        "Settlement Date": record["settled_on"],
        "Disbursement Date": paid["date"],
        "Payment Instrument": instrument["kind"],
        "Card Brand": instrument.get("card_type", ""),
        "Card Type": "Debit"
        if instrument.get("indicators", {}).get("debit") == "Yes"
        else "Credit",
        "First 6 of CC": instrument.get("bin", ""),
        "Issuing Bank": "",
        "Refunded Amount": nothing if sale else decimal_text(paid["amount"], currency),
        "Exchange Rate": paid["rate"],
        "Order ID": record["order_id"] or "",
        "Acquirer Reference Number": arn,
        "Card Issuing Country": "USA" if arn else "",
        "Discount": account.fee_rate if sale else "0",
        "Discount Credit": "0",
        "Per Transaction Fee": account.fee_fixed if sale else nothing,
        "Per Transaction Fee Credit": nothing,
        "Original Sale Amount": "",
        "Refund Type": "" if sale else "refund",
        "Multicurrency Fee Amount": nothing,
        "Multicurrency Fee Credit": nothing,
        "Total Fee Amount": decimal_text(fee_of(record, account), currency),
    }
