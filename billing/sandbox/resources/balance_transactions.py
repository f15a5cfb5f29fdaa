"""Balance transactions: money on the provider's books, with its fee. Minor units.

A charge in a currency that settles in another one is booked in the other: amount and fee are
that currency's, and `exchange_rate` says how they came about.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import Body, Reply, missing_object
from billing.sandbox.exchange import converted, rate_between
from billing.sandbox.ids import new_id
from billing.sandbox.listing import VISIBLE, list_page, list_params
from billing.sandbox.params import Params, choice, text, texts
from billing.sandbox.routing import Route
from billing.sandbox.store import Record

_TYPES = (
    "charge",
    "refund",
    "refund_failure",
    "adjustment",
    "payout",
    "payout_cancel",
    "payout_failure",
    "stripe_fee",
    "payment",
    "payment_refund",
)
# Stripe's reporting category, where it isn't the type itself.
_CATEGORIES = {"payout_failure": "payout_reversal", "payout_cancel": "payout_reversal"}


def book(
    call: Call,
    kind: str,
    source: Record,
    amount: int,
    *,
    fee: Callable[[int], int] | None = None,
    delay: int = 0,
    available_on: int | None = None,
    **more: Any,
) -> Record:
    """Book an amount (negative: money leaving) for `source`, in the currency it settles in.

    `fee` gets the settled amount. The transaction shows up in lists `delay` seconds from now;
    `more` goes into its record.
    """
    currency, rate = _settlement(call, source["currency"])
    settled = amount if rate is None else converted(amount, rate)
    record: Record = {
        "id": new_id("txn"),
        "created": call.now + delay,
        "type": kind,
        "source": source["id"],
        "currency": currency,
        "amount": settled,
        "fee": fee(settled) if fee else 0,
        "available_on": call.now + delay if available_on is None else available_on,
        "description": source.get("description"),
        **more,
    }
    if rate is not None:
        record["rate"] = str(rate)
    call.store.insert("balance_transaction", record, parent=source["id"], subtype=kind)
    return record


def _settlement(call: Call, code: str) -> tuple[str, Fraction | None]:
    target = call.settings.settles_in(code)
    if target == code:
        return code, None
    return target, rate_between(call.settings.exchange_rates, code, target)


def give_back(call: Call, booked: Record, kind: str, source: Record, **more: Any) -> Record:
    """Book the exact opposite of what was booked, at the rate of then. The fee stays."""
    record: Record = {
        **{name: booked[name] for name in ("currency", "source", "description")},
        "id": new_id("txn"),
        "created": call.now,
        "type": kind,
        "amount": -booked["amount"],
        "fee": 0,
        "available_on": max(call.now, booked["available_on"]),
        **more,
    }
    if "rate" in booked:
        record["rate"] = booked["rate"]
    call.store.insert("balance_transaction", record, parent=source["id"], subtype=kind)
    return record


def convert(call: Call, sold: tuple[int, str], bought: tuple[int, str], fee: int) -> list[Record]:
    """Exchange what the balance holds: money out in one currency, in in another, less the fee.

    Nobody's payment is in it: both transactions are adjustments without a source.
    """
    (given, given_in), (taken, taken_in) = sold, bought
    words = f"Conversion of {given_in.upper()} to {taken_in.upper()}"
    records: list[Record] = [
        {
            "id": new_id("txn"),
            "created": call.now,
            "type": "adjustment",
            "category": "other_adjustment",
            "source": None,
            "currency": code,
            "amount": amount,
            "fee": kept,
            "available_on": call.now,
            "description": words,
        }
        for amount, code, kept in ((-given, given_in, 0), (taken, taken_in, fee))
    ]
    for record in records:
        call.store.insert("balance_transaction", record, subtype="adjustment")
    return records


def category(record: Record) -> str:
    """Return Stripe's reporting category of a balance transaction."""
    kind = record["type"]
    return str(record.get("category") or _CATEGORIES.get(kind, kind))


def render(call: Call, record: Record) -> Body:
    """Return the balance transaction as Stripe shows it."""
    fee, currency = record["fee"], record["currency"]
    detail = {
        "amount": fee,
        "application": None,
        "currency": currency,
        "description": record.get("fee_description", "Stripe processing fees"),
        "type": "stripe_fee",
    }
    rate = record.get("rate")
    return {
        "id": record["id"],
        "object": "balance_transaction",
        "amount": record["amount"],
        "available_on": record["available_on"],
        "balance_type": "payments",
        "created": record["created"],
        "currency": currency,
        "description": record["description"],
        "exchange_rate": rate and float(Fraction(rate)),  # JSON knows no other number
        "fee": fee,
        "fee_details": [detail] if fee else [],
        "net": record["amount"] - fee,
        "reporting_category": category(record),
        "source": record["source"],
        "status": "available" if record["available_on"] <= call.now else "pending",
        "type": record["type"],
    }


def _retrieve(call: Call) -> Reply:
    record = call.named_in_path("balance_transaction")
    if record["created"] > call.now:
        raise missing_object(KIND.name, record["id"], param="id", in_path=True)
    return Reply(200, render(call, record))


def _list(call: Call) -> Reply:
    columns = {"type": "subtype = ?", "source": "parent = ?", "payout": "owner = ?"}
    conditions: list[tuple[str, Any]] = [
        (text, call.params[name]) for name, text in columns.items() if name in call.params
    ]
    if "currency" in call.params:
        conditions.append(("json_extract(body, '$.currency') = ?", call.params["currency"]))
    conditions += [("created <= ?", call.now), VISIBLE]
    return list_page(call, KIND, "/v1/balance_transactions", conditions)


KIND = ObjectKind(
    "balance_transaction", render, {"source": ("charge", "refund", "dispute", "payout")}
)

ROUTES = (
    Route("GET", "/v1/balance_transactions/*", Params({"expand": texts}), _retrieve, KIND.name),
    Route(
        "GET",
        "/v1/balance_transactions",
        list_params(type=choice(*_TYPES), source=text, currency=text, payout=text),
        _list,
        KIND.name,
        lists=True,
    ),
)
