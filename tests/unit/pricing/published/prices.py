"""Published prices of quantities, lines and usage, computed by ours."""

from fractions import Fraction
from uuid import UUID

from billing.plans.items import ItemPrice, PriceModel, PriceTier
from billing.pricing import (
    Charged,
    LineLeft,
    draft,
    lines_of_change,
    quantity_price,
    rate_usage,
)
from tests.unit.pricing.published.figures import Found, Given, minor, shown, whole_minor
from tests.unit.pricing.values import JANUARY, charge, facts, unit_price


def price_of(given: Given) -> ItemPrice:
    model = PriceModel(given["model"])
    if model is PriceModel.PACKAGE:
        return ItemPrice(
            model,
            minor(given["price"], given),
            size=int(given["size"]),
            round=given.get("rounding", "up"),
            included=Fraction(given.get("free", "0")),
        )
    if model is PriceModel.UNIT:
        return unit_price(minor(given["unit"], given))
    return ItemPrice(
        model,
        tiers=tuple(
            PriceTier(
                None if tier["up_to"] is None else int(tier["up_to"]),
                minor(tier["unit"], given),
                whole_minor(tier["flat"], given),
            )
            for tier in given["tiers"]
        ),
    )


def quantity(given: Given) -> Found:
    line = draft(facts(charge(price_of(given), Fraction(given["quantity"])))).lines[0]
    found = {"amount": shown(line.gross, given)}
    if given["model"] == "package":
        found["packages"] = sum((row.quantity for row in line.rows if row.unit), Fraction(0))
    return found


def slabs(given: Given) -> Found:
    tiers = [{"up_to": end, "unit": unit, "flat": "0"} for end, unit in given["slabs"]]
    return quantity({**given, "model": "graduated", "tiers": tiers})


def ranges(given: Given) -> Found:
    """A percentage of a value is a price of each of its units."""
    tiers = [
        {"up_to": end, "unit": Fraction(percent) / 100, "flat": flat}
        for end, percent, flat in given["ranges"]
    ]
    as_units = {"model": "graduated", "tiers": tiers, "quantity": given["value"]}
    return quantity({**given, **as_units})


def _line(text: str, given: Given) -> int:
    return draft(facts(charge(minor(text, given)))).lines[0].gross


def rounding(given: Given) -> Found:
    return {"rounded": shown(_line(given["amount"], given), given)}


def bought(given: Given) -> Found:
    return {"amount": shown(_line(given["paid"], given), given)}


def subtotal(given: Given) -> Found:
    drafted = draft(facts(*(charge(minor(text, given)) for text in given["lines"])))
    return {"subtotal": shown(drafted.net, given)}


def unit_line(given: Given) -> Found:
    price = unit_price(minor(given["unit"], given))
    drafted = draft(facts(charge(price, int(given["quantity"]))))
    return {"line": shown(drafted.net, given)}


def minimum(given: Given) -> Found:
    share = Fraction(given.get("share", "1"))
    price = unit_price(minor(given["used"], given), minimum=whole_minor(given["minimum"], given))
    used = charge(price, metered=True, share=(share.numerator, share.denominator))
    return {"true_up": shown(sum(line.gross for line in draft(facts(used)).lines[1:]), given)}


def rated(given: Given) -> Found:
    price = price_of(given)
    billed, before = [], Fraction(0)
    for text in given["cumulative"]:
        until = Fraction(text)
        billed.append(shown(rate_usage(price, until - before, before).amount, given))
        before = until
    return {"billed": billed, "total": sum(billed)}


def included(given: Given) -> Found:
    price = unit_price(1, included=Fraction(given["free"]))
    now = Fraction(given["now"])
    billable = rate_usage(price, now, Fraction(given["before"])).amount
    return {"billable_now": billable, "free_now": now - billable}


def used_below_zero(given: Given) -> Found:
    price = unit_price(minor(given["unit"], given))
    return {"amount": quantity_price(price, Fraction(given["sum"])).amount}


def once(given: Given) -> Found:
    price = unit_price(minor(given["unit"], given))
    share = (int(given["days_left"]), int(given["days"]))
    item = charge(price, int(given["quantity"]), once=True, share=share)
    return {"charge": shown(draft(facts(item)).net, given)}


def once_at_the_end(given: Given) -> Found:
    fixed = charge(minor(given["fixed"], given), once=True)
    piece = Charged(UUID(int=1), (LineLeft(0, draft(facts(fixed)).net),), fixed)
    middle = JANUARY.start + (JANUARY.end - JANUARY.start) / 2
    changed = lines_of_change([piece], [], JANUARY, middle, "UTC")
    return {"credit": shown(sum(each.gross for each in changed.returns), given)}
