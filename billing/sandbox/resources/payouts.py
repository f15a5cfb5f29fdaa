"""Payouts: what is available goes to the bank, and each has the transactions that it took.

A payout is pending, then on its way, then paid, as the clock goes on; it can fail at any time,
even after it was paid, and then the money is booked back.
"""

from typing import Any

from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import Body, Reply, refused
from billing.sandbox.ids import new_id
from billing.sandbox.listing import list_page, list_params
from billing.sandbox.params import (
    Params,
    choice,
    created_range,
    merged_metadata,
    metadata,
    texts,
)
from billing.sandbox.resources.events import record_event
from billing.sandbox.routing import Route
from billing.sandbox.store import Record

_DAY = 86_400
_BANK = "ba_1PSandboxBankAccount0000"
STATUSES = ("pending", "in_transit", "paid", "failed", "canceled")
_NEXT = {
    "in_transit": ("pending",),
    "paid": ("pending", "in_transit"),
    "failed": ("pending", "in_transit", "paid"),
}
FAILURES = {
    "account_closed": "The bank account has been closed.",
    "account_frozen": "The bank account has been frozen.",
    "could_not_process": "The bank could not process this payout.",
    "debit_not_authorized": "Debit transactions are not approved on the bank account.",
    "insufficient_funds": "Your account has insufficient funds to cover the payout.",
    "invalid_account_number": "The routing number seems correct, but the account number doesn't.",
    "no_account": "The bank account details on file are probably incorrect.",
}
_AVAILABLE = """
SELECT id, json_extract(body, '$.amount') - json_extract(body, '$.fee')
FROM objects INDEXED BY money_not_paid_out
WHERE kind = 'balance_transaction' AND owner IS NULL AND created <= :now
  AND json_extract(body, '$.available_on') <= :now
  AND json_extract(body, '$.currency') = :currency
  AND json_extract(body, '$.hidden') IS NULL
"""
_CURRENCIES = """
SELECT DISTINCT json_extract(body, '$.currency')
FROM objects INDEXED BY money_not_paid_out
WHERE kind = 'balance_transaction' AND owner IS NULL
ORDER BY 1
"""
_TAKE = """
UPDATE objects SET owner = ?, body = json_set(body, '$.payout', ?) WHERE id = ?
"""


def available(call: Call, code: str) -> int:
    """Return what is available in a currency; less than nothing after refunds, say."""
    return sum(net for _, net in _lines(call, code))


def _lines(call: Call, code: str) -> list[tuple[Any, ...]]:
    query = _AVAILABLE.replace(":now", str(int(call.now))).replace(":currency", "?")
    return call.store.rows(query, (code,))


def pay_out(call: Call, code: str) -> Record:
    """Pay out what is available in a currency. Raises: ApiError when that is nothing."""
    lines = _lines(call, code)
    amount = sum(net for _, net in lines)
    if amount <= 0:
        raise refused(
            f"You have insufficient funds: {amount} {code} is available.",
            code="balance_insufficient",
        )
    settings = call.settings
    record: Record = {
        "id": new_id("po"),
        "created": call.now,
        "amount": amount,
        "currency": code,
        "status": "pending",
        "arrival_date": call.now + settings.payout_arrives_after_seconds,
        "description": "STRIPE PAYOUT",
        "metadata": {},
    }
    for line, _ in lines:
        call.store.rows(_TAKE, (record["id"], record["id"], line))
    record["balance_transaction"] = _book(call, record, "payout", -amount, record["id"])["id"]
    call.store.insert("payout", record, subtype="pending")
    submitted = call.now + settings.payout_submitted_after_seconds
    call.store.remind(min(submitted, record["arrival_date"]), "payout.submit", record["id"])
    call.store.remind(record["arrival_date"], "payout.arrive", record["id"])
    record_event(call, "payout.created", KIND, record)
    record_event(call, "payout.reconciliation_completed", KIND, record)
    return record


def _book(call: Call, record: Record, kind: str, amount: int, payout: str | None) -> Record:
    """Book money to or from the bank; it is in the account's own currency already."""
    booked: Record = {
        "id": new_id("txn"),
        "created": call.now,
        "type": kind,
        "source": record["id"],
        "currency": record["currency"],
        "amount": amount,
        "fee": 0,
        "available_on": call.now,
        "description": record["description"] if kind == "payout" else "PAYOUT FAILURE",
    }
    if payout is not None:
        booked["payout"] = payout
    call.store.insert("balance_transaction", booked, parent=record["id"], subtype=kind)
    return booked


def move(call: Call, record: Record, status: str, failure: str = "could_not_process") -> None:
    """Move a payout on. Raises: ApiError when it can't go there from where it is."""
    if record["status"] not in _NEXT.get(status, ()):
        raise refused(f"Payout {record['id']} is {record['status']}: it can't become {status}.")
    record["status"] = status
    if status == "failed":
        record["failure_code"] = failure
        booked = _book(call, record, "payout_failure", record["amount"], None)
        record["failure_balance_transaction"] = booked["id"]
    call.store.update(record)
    call.store.rows("UPDATE objects SET subtype = ? WHERE id = ?", (status, record["id"]))
    event = "payout.updated" if status == "in_transit" else f"payout.{status}"
    record_event(call, event, KIND, record)


def submit(call: Call, payout_id: str) -> None:
    """Send a pending payout to the bank."""
    record = call.stored("payout", payout_id)
    if record["status"] == "pending":
        move(call, record, "in_transit")


def arrive(call: Call, payout_id: str) -> None:
    """Let a payout arrive that is on its way."""
    record = call.stored("payout", payout_id)
    if record["status"] in ("pending", "in_transit"):
        move(call, record, "paid")


def plan_daily(call: Call) -> None:
    """Put the next daily payouts on the agenda, at midnight UTC, if that is the schedule."""
    call.store.forget("payout.daily")
    if call.settings.payout_schedule == "daily":
        call.store.remind((call.now // _DAY + 1) * _DAY, "payout.daily", "")


def daily(call: Call, _: str) -> None:
    """Pay out every currency with something available, and plan the next day's."""
    for (code,) in call.store.rows(_CURRENCIES):
        if available(call, code) > 0:
            pay_out(call, code)
    plan_daily(call)


def render(_call: Call, record: Record) -> Body:
    """Return the payout as Stripe shows it."""
    failure = record.get("failure_code")
    return {
        "id": record["id"],
        "object": "payout",
        "amount": record["amount"],
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": record["arrival_date"],
        "automatic": True,
        "balance_transaction": record["balance_transaction"],
        "created": record["created"],
        "currency": record["currency"],
        "description": record["description"],
        "destination": _BANK,
        "failure_balance_transaction": record.get("failure_balance_transaction"),
        "failure_code": failure,
        "failure_message": failure and FAILURES[failure],
        "livemode": False,
        "metadata": record["metadata"],
        "method": "standard",
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "completed",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": record["status"],
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    }


def _update(call: Call) -> Reply:
    record = call.named_in_path("payout")
    record["metadata"] = merged_metadata(record["metadata"], call.params.get("metadata", {}))
    call.store.update(record)
    record_event(call, "payout.updated", KIND, record)
    return Reply(200, render(call, record))


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path("payout")))


def _list(call: Call) -> Reply:
    conditions: list[tuple[str, Any]] = []
    if "status" in call.params:
        conditions.append(("subtype = ?", call.params["status"]))
    arrival = "json_extract(body, '$.arrival_date')"
    for condition, value in call.params.get("arrival_date", ()):
        conditions.append((condition.replace("created", arrival), value))
    return list_page(call, KIND, "/v1/payouts", conditions)


KIND = ObjectKind(
    "payout",
    render,
    {
        "balance_transaction": ("balance_transaction",),
        "failure_balance_transaction": ("balance_transaction",),
    },
)

_ONLY_EXPAND = Params({"expand": texts})
_UPDATE = Params({"metadata": metadata, "expand": texts})

ACTIONS = {"payout.submit": submit, "payout.arrive": arrive, "payout.daily": daily}

ROUTES = (
    Route("GET", "/v1/payouts/*", _ONLY_EXPAND, _retrieve, KIND.name),
    Route("POST", "/v1/payouts/*", _UPDATE, _update, KIND.name),
    Route(
        "GET",
        "/v1/payouts",
        list_params(status=choice(*STATUSES), arrival_date=created_range),
        _list,
        KIND.name,
        lists=True,
    ),
)
