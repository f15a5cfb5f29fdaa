"""The lines of calculations and transactions of taxes, in pages of ten within their object."""

from typing import Any

from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import Body, Reply, missing_object
from billing.sandbox.store import Record

IN_OBJECT = 10


def within(call: Call, record: Record, url: str) -> Body | None:
    """Return the first lines of an object where they are asked for, else None."""
    paths = call.params.get("expand", ())
    if not any(path.split(".")[0] == "line_items" for path in paths):
        return None
    detailed = "line_items.data.tax_breakdown" in paths
    lines = [shown(line, detailed=detailed) for line in record["lines"][:IN_OBJECT]]
    more = len(record["lines"]) > IN_OBJECT
    return {"object": "list", "data": lines, "has_more": more, "url": url}


def page(call: Call, record: Record, url: str) -> Reply:
    """Answer with a page of an object's lines, in their order."""
    lines = record["lines"]
    after = call.params.get("starting_after")
    start = 0
    if after is not None:
        places = [index for index, line in enumerate(lines) if line["id"] == after]
        if not places:
            raise missing_object("line item", after, param="starting_after", in_path=False)
        start = places[0] + 1
    end = start + call.params.get("limit", IN_OBJECT)
    detailed = "data.tax_breakdown" in call.params.get("expand", ())
    data = [shown(line, detailed=detailed) for line in lines[start:end]]
    return Reply(200, {"object": "list", "data": data, "has_more": end < len(lines), "url": url})


def shown(line: dict[str, Any], *, detailed: bool) -> Body:
    """Return a line as Stripe shows it; the taxes of a calculated one only where asked for."""
    if "tax_breakdown" not in line:
        return line
    return {**line, "tax_breakdown": line["tax_breakdown"] if detailed else None}


def _never(_call: Call, record: Record) -> Body:
    return record


# What `expand[]` goes through; none of them is stored for itself.
CALCULATED = ObjectKind("tax.calculation_line_item", _never, {"tax_breakdown": ("tax.breakdown",)})
RECORDED = ObjectKind("tax.transaction_line_item", _never)
OF_CALCULATION = ObjectKind(
    "tax.calculation_lines", _never, {"data": ("tax.calculation_line_item",)}
)
OF_TRANSACTION = ObjectKind(
    "tax.transaction_lines", _never, {"data": ("tax.transaction_line_item",)}
)
KINDS = (CALCULATED, RECORDED, OF_CALCULATION, OF_TRANSACTION)
