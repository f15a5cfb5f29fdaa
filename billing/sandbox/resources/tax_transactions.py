"""Transactions of taxes: calculations that are recorded, and reversals of them.

A reference is given away once, among transactions and reversals. No more is reversed of a line than
it came to.
"""

from typing import Any

from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import Body, Reply, missing_object, refused
from billing.sandbox.ids import new_id
from billing.sandbox.params import (
    Params,
    choice,
    integer,
    merged_metadata,
    metadata,
    nested,
    text,
    texts,
)
from billing.sandbox.resources import tax_calculations, tax_lines
from billing.sandbox.routing import Route
from billing.sandbox.store import Record


def render(call: Call, record: Record) -> Body:
    """Return the transaction as Stripe shows it."""
    original = record.get("original")
    return {
        "id": record["id"],
        "object": "tax.transaction",
        "created": record["created"],
        "currency": record["currency"],
        "customer": None,
        "customer_details": record["customer_details"],
        "line_items": tax_lines.within(call, record, _url(record)),
        "livemode": False,
        "metadata": record["metadata"],
        "posted_at": record["posted_at"],
        "reference": record["reference"],
        "reversal": None if original is None else {"original_transaction": original},
        "ship_from_details": None,
        "shipping_cost": None,
        "tax_date": record["tax_date"],
        "type": "transaction" if original is None else "reversal",
    }


def _url(record: Record) -> str:
    return f"/v1/tax/transactions/{record['id']}/line_items"


def _create(call: Call) -> Reply:
    calculation = call.named_by("tax.calculation", call.params["calculation"], "calculation")
    _check_reference(call)
    if calculation["created"] + tax_calculations.KEPT_SECONDS <= call.now:
        raise refused("This calculation has expired.", param="calculation")
    lines = [
        {**_plain(line), "id": new_id("tax_li"), "type": "transaction", "reversal": None}
        for line in calculation["lines"]
    ]
    return _add(call, calculation, lines, {"posted_at": call.params.get("posted_at", call.now)})


def _plain(line: Body) -> Body:
    return {
        **{name: value for name, value in line.items() if name != "tax_breakdown"},
        "object": "tax.transaction_line_item",
    }


def _add(call: Call, source: Record, lines: list[Body], more: dict[str, Any]) -> Reply:
    record: Record = {
        "id": new_id("tax"),
        "created": call.now,
        "currency": source["currency"],
        "customer_details": source["customer_details"],
        "tax_date": source["tax_date"],
        "reference": call.params["reference"],
        "metadata": merged_metadata({}, call.params.get("metadata", {})),
        "lines": lines,
        **more,
    }
    call.store.insert(KIND.name, record, parent=record["reference"], subtype=record.get("original"))
    return Reply(200, render(call, record))


def _check_reference(call: Call) -> None:
    reference = call.params["reference"]
    known = call.store.select(KIND.name, [("parent = ?", reference)], limit=1)
    if known:
        raise refused(
            f"The reference '{reference}' is that of the transaction {known[0]['id']}: a reference"
            " must be unique across all transactions, including reversals.",
            param="reference",
        )


def _reverse(call: Call) -> Reply:
    name = call.params["original_transaction"]
    original = call.named_by(KIND.name, name, "original_transaction")
    if "original" in original:
        raise refused("A reversal can't be reversed.", param="original_transaction")
    _check_reference(call)
    left = _left(call, original)
    parts = _all(left) if call.params["mode"] == "full" else _asked(call, left)
    lines = [
        _reversed(line, *parts[line["id"]]) for line in original["lines"] if line["id"] in parts
    ]
    if not any(line["amount"] or line["amount_tax"] for line in lines):
        raise refused("There is nothing left to reverse.", param="original_transaction")
    return _add(call, original, lines, {"original": original["id"], "posted_at": call.now})


def _left(call: Call, original: Record) -> dict[str, tuple[int, int]]:
    """Return by line what of its amount and of its tax isn't reversed yet."""
    left = {line["id"]: (line["amount"], line["amount_tax"]) for line in original["lines"]}
    for reversal in call.store.select(KIND.name, [("subtype = ?", original["id"])]):
        for line in reversal["lines"]:
            amount, tax = left[line["reversal"]["original_line_item"]]
            left[line["reversal"]["original_line_item"]] = (
                amount + line["amount"],
                tax + line["amount_tax"],
            )
    return left


def _all(left: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int, str | None]]:
    return {line: (-amount, -tax, None) for line, (amount, tax) in left.items()}


def _asked(call: Call, left: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int, str | None]]:
    found: dict[str, tuple[int, int, str | None]] = {}
    for index, line in enumerate(call.params.get("line_items", ())):
        param = f"line_items[{index}]"
        name = line["original_line_item"]
        if name not in left:
            raise missing_object("line item", name, param=param, in_path=False)
        amount, tax = left[name]
        if line["amount"] < -amount or line["amount_tax"] < -tax:
            raise refused(
                f"More is to be reversed of {name} than is left of it: {amount}, and {tax} of tax.",
                param=param,
            )
        found[name] = (line["amount"], line["amount_tax"], line["reference"])
    if not found:
        raise refused(
            "Missing required param: line_items.", code="parameter_missing", param="line_items"
        )
    return found


def _reversed(line: Body, amount: int, tax: int, reference: str | None) -> Body:
    return {
        **line,
        "id": new_id("tax_li"),
        "amount": amount,
        "amount_tax": tax,
        "reference": reference or line["reference"],
        "reversal": {"original_line_item": line["id"]},
        "type": "reversal",
    }


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path(KIND.name)))


def _list_lines(call: Call) -> Reply:
    record = call.named_in_path(KIND.name)
    return tax_lines.page(call, record, _url(record))


def _line_items(raw: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(raw, dict):
        raise refused("Invalid array", param=name)
    found = []
    for index, value in enumerate(raw.values()):
        line = _LINE(value, f"{name}[{index}]")
        for part in ("amount", "amount_tax", "original_line_item", "reference"):
            if part not in line:
                param = f"{name}[{index}][{part}]"
                raise refused(
                    f"Missing required param: {param}.", code="parameter_missing", param=param
                )
        found.append(line)
    return found


KIND = ObjectKind("tax.transaction", render, {"line_items": (tax_lines.OF_TRANSACTION.name,)})

_BELOW_ZERO = integer(-(2**53), 0)
_LINE = nested(
    amount=_BELOW_ZERO,
    amount_tax=_BELOW_ZERO,
    original_line_item=text,
    quantity=integer(1),
    reference=text,
)
_CREATE = Params(
    {
        "calculation": text,
        "reference": text,
        "metadata": metadata,
        "posted_at": integer(),
        "expand": texts,
    },
    required=("calculation", "reference"),
)
_REVERSE = Params(
    {
        "mode": choice("full", "partial"),
        "original_transaction": text,
        "reference": text,
        "line_items": _line_items,
        "metadata": metadata,
        "expand": texts,
    },
    required=("mode", "original_transaction", "reference"),
)

ROUTES = (
    Route("POST", "/v1/tax/transactions/create_from_calculation", _CREATE, _create, KIND.name),
    Route("POST", "/v1/tax/transactions/create_reversal", _REVERSE, _reverse, KIND.name),
    Route("GET", "/v1/tax/transactions/*", Params({"expand": texts}), _retrieve, KIND.name),
    Route(
        "GET",
        "/v1/tax/transactions/*/line_items",
        tax_calculations.LINES,
        _list_lines,
        tax_lines.RECORDED.name,
        lists=True,
    ),
)
