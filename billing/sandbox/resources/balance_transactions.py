"""Balance transactions: money on the provider's books, with its fee. Minor units."""

from billing.sandbox.call import Call, Kind
from billing.sandbox.errors import Body, Reply, missing_object
from billing.sandbox.ids import new_id
from billing.sandbox.listing import list_page, list_params
from billing.sandbox.params import Params, choice, text, texts
from billing.sandbox.routing import Route
from billing.sandbox.store import Record

_TYPES = ("charge", "refund", "adjustment", "payout", "stripe_fee", "payment", "payment_refund")


def book(
    call: Call, kind: str, source: Record, amount: int, *, fee: int = 0, delay: int = 0
) -> str:
    """Book an amount (negative: money leaving) for `source`; return the transaction's id.

    It shows up in lists `delay` seconds from now.
    """
    record: Record = {
        "id": new_id("txn"),
        "created": call.now + delay,
        "type": kind,
        "source": source["id"],
        "currency": source["currency"],
        "amount": amount,
        "fee": fee,
        "available_on": call.now + delay + call.settings.available_after_seconds,
        "description": source.get("description"),
    }
    call.store.insert("balance_transaction", record, parent=source["id"], subtype=kind)
    return str(record["id"])


def render(call: Call, record: Record) -> Body:
    """Return the balance transaction as Stripe shows it."""
    fee, currency = record["fee"], record["currency"]
    detail = {
        "amount": fee,
        "application": None,
        "currency": currency,
        "description": "Stripe processing fees",
        "type": "stripe_fee",
    }
    return {
        "id": record["id"],
        "object": "balance_transaction",
        "amount": record["amount"],
        "available_on": record["available_on"],
        "balance_type": "payments",
        "created": record["created"],
        "currency": currency,
        "description": record["description"],
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [detail] if fee else [],
        "net": record["amount"] - fee,
        "reporting_category": record["type"],
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
    columns = {"type": "subtype = ?", "source": "parent = ?"}
    conditions = [
        (text, call.params[name]) for name, text in columns.items() if name in call.params
    ]
    if "currency" in call.params:
        conditions.append(("json_extract(body, '$.currency') = ?", call.params["currency"]))
    conditions.append(("created <= ?", call.now))
    return list_page(call, KIND, "/v1/balance_transactions", conditions)


KIND = Kind("balance_transaction", render, {"source": ("charge", "refund")})

ROUTES = (
    Route("GET", "/v1/balance_transactions/*", Params({"expand": texts}), _retrieve, KIND.name),
    Route(
        "GET",
        "/v1/balance_transactions",
        list_params(type=choice(*_TYPES), source=text, currency=text),
        _list,
        KIND.name,
        lists=True,
    ),
)
