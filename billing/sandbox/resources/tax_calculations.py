"""Calculations of taxes: they change nothing and can be recorded for 90 days."""

from typing import Any

from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import Body, Reply, refused
from billing.sandbox.ids import new_id
from billing.sandbox.params import Params, choice, clearable_text, integer, nested, text, texts
from billing.sandbox.resources import tax_lines
from billing.sandbox.routing import Route
from billing.sandbox.store import Record
from billing.sandbox.tax_computing import breakdown, check_place, summed
from billing.sandbox.tax_rates import USUAL

KEPT_SECONDS = 90 * 86_400
_TAX_DATE_SECONDS = 2 * 86_400
_LINES_MAX = 500
_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


def render(call: Call, record: Record) -> Body:
    """Return the calculation as Stripe shows it."""
    lines = record["lines"]
    taxes = {
        behaviour: sum(line["amount_tax"] for line in lines if line["tax_behavior"] == behaviour)
        for behaviour in ("exclusive", "inclusive")
    }
    return {
        "id": record["id"],
        "object": "tax.calculation",
        "amount_total": sum(line["amount"] for line in lines) + taxes["exclusive"],
        "currency": record["currency"],
        "customer": None,
        "customer_details": record["customer_details"],
        "expires_at": record["created"] + KEPT_SECONDS,
        "line_items": tax_lines.within(call, record, _url(record)),
        "livemode": False,
        "ship_from_details": None,
        "shipping_cost": None,
        "tax_amount_exclusive": taxes["exclusive"],
        "tax_amount_inclusive": taxes["inclusive"],
        "tax_breakdown": summed(lines),
        "tax_date": record["tax_date"],
    }


def _url(record: Record) -> str:
    return f"/v1/tax/calculations/{record['id']}/line_items"


def _create(call: Call) -> Reply:
    details = _details(call.params.get("customer_details", {}))
    check_place(details["address"])
    record: Record = {
        "id": new_id("taxcalc"),
        "created": call.now,
        "currency": call.params["currency"],
        "customer_details": details,
        "tax_date": _tax_date(call),
        "lines": _lines(call, details),
    }
    call.store.insert(KIND.name, record)
    return Reply(200, render(call, record))


def _details(asked: dict[str, Any]) -> Body:
    address = asked.get("address", {})
    return {
        "address": {part: address.get(part) for part in _ADDRESS},
        "address_source": asked.get("address_source"),
        "ip_address": None,
        "tax_ids": asked.get("tax_ids", []),
        "taxability_override": asked.get("taxability_override", "none"),
    }


def _tax_date(call: Call) -> int:
    asked = call.params.get("tax_date", call.now)
    if abs(asked - call.now) > _TAX_DATE_SECONDS:
        raise refused(
            "The tax date is more than 48 hours away from the current time.", param="tax_date"
        )
    return int(asked)


def _lines(call: Call, details: Body) -> list[Body]:
    asked = call.params["line_items"]
    if not 1 <= len(asked) <= _LINES_MAX:
        raise refused("line_items has 1 to 500 items.", param="line_items")
    lines = [_line(call, line, place, details) for place, line in enumerate(asked)]
    if len({line["reference"] for line in lines}) < len(lines):
        raise refused("The references of line_items must be unique.", param="line_items")
    return lines


def _line(call: Call, asked: dict[str, Any], place: int, details: Body) -> Body:
    line: Body = {
        "id": new_id("tax_li"),
        "object": "tax.calculation_line_item",
        "amount": asked["amount"],
        "livemode": False,
        "metadata": None,
        "product": None,
        "quantity": asked.get("quantity", 1),
        "reference": asked.get("reference", f"L{place + 1}"),
        "tax_behavior": asked.get("tax_behavior", "exclusive"),
        "tax_code": asked.get("tax_code", USUAL),
    }
    line["tax_breakdown"] = breakdown(line, details, call.settings.tax_origin)
    line["amount_tax"] = sum(each["amount"] for each in line["tax_breakdown"])
    return line


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path(KIND.name)))


def _list_lines(call: Call) -> Reply:
    record = call.named_in_path(KIND.name)
    return tax_lines.page(call, record, _url(record))


def _line_items(raw: Any, name: str) -> list[dict[str, Any]]:
    """Read the lines; each has to have an amount."""
    if not isinstance(raw, dict):
        raise refused("Invalid array", param=name)
    found = []
    for index, value in enumerate(raw.values()):
        line = _LINE(value, f"{name}[{index}]")
        if "amount" not in line:
            param = f"{name}[{index}][amount]"
            raise refused(
                f"Missing required param: {param}.", code="parameter_missing", param=param
            )
        found.append(line)
    return found


def _tax_ids(raw: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(raw, dict):
        raise refused("Invalid array", param=name)
    return [_TAX_ID(value, f"{name}[{index}]") for index, value in enumerate(raw.values())]


def _tax_id_value(raw: Any, name: str) -> str:
    value = text(raw, name)
    if len(value) < 4:
        raise refused(f"Invalid tax id: {value}", code="tax_id_invalid", param=name)
    return value


KIND = ObjectKind("tax.calculation", render, {"line_items": (tax_lines.OF_CALCULATION.name,)})

_TAX_ID = nested(type=text, value=_tax_id_value)
_LINE = nested(
    amount=integer(0),
    quantity=integer(1),
    reference=text,
    tax_behavior=choice("exclusive", "inclusive"),
    tax_code=text,
)
_CREATE = Params(
    {
        "currency": text,
        "customer_details": nested(
            address=nested(**dict.fromkeys(_ADDRESS, clearable_text)),
            address_source=choice("billing", "shipping"),
            tax_ids=_tax_ids,
            taxability_override=choice("customer_exempt", "none", "reverse_charge"),
        ),
        "line_items": _line_items,
        "tax_date": integer(),
        "expand": texts,
    },
    required=("currency", "line_items"),
)
LINES = Params({"limit": integer(1, 100), "starting_after": text, "expand": texts})

ROUTES = (
    Route("POST", "/v1/tax/calculations", _CREATE, _create, KIND.name),
    Route("GET", "/v1/tax/calculations/*", Params({"expand": texts}), _retrieve, KIND.name),
    Route(
        "GET",
        "/v1/tax/calculations/*/line_items",
        LINES,
        _list_lines,
        tax_lines.CALCULATED.name,
        lists=True,
    ),
)
