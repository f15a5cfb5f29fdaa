"""Prices of items and what coupons take off, in words and as records."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from billing.plans.addons import Addon
from billing.plans.coupon_terms import format_duration
from billing.plans.coupons import Coupon
from billing.plans.currencies import format_amount, format_unit_price
from billing.plans.items import Item, ItemPrice, PriceModel, PriceTier
from billing.plans.meters import Meter
from billing.plans.numbers import format_number
from billing.rules.money import Money


def item_words(item: Item) -> str:
    """Tell what an item costs in each currency: "seats 12.00 USD a seat, 11.00 EUR a seat"."""
    return f"{item.code} {price_words(item)}"


def price_words(item: Item) -> str:
    """Tell what an item costs in each currency, without its code."""
    return ", ".join(price_words_in(item, currency) for currency in sorted(item.currencies))


def price_words_in(item: Item, currency: str) -> str:
    """Tell what an item costs in one currency."""
    price = item.price_in(currency)
    if price is None:
        return f"no price in {currency}"
    words = _basic(item, price, currency)
    if price.included:
        alert = "" if item.alert is None else f" (alert at {item.alert} %)"
        words += f" beyond {format_number(price.included)} included{alert}"
    if price.minimum is not None:
        words += f", at least {Money(price.minimum, currency)}"
    if price.maximum is not None:
        words += f", at most {Money(price.maximum, currency)}"
    return words


def _basic(item: Item, price: ItemPrice, currency: str) -> str:
    if price.model is PriceModel.FLAT:
        return f"{Money(int(price.amount), currency)}{' once' if item.once else ''}"
    if price.model is PriceModel.PACKAGE:
        begun = "" if price.round == "up" else " (none for fewer)"
        package = f"package of {price.size} {item.per or _code(item.meter)}"
        return f"{Money(int(price.amount), currency)} a {package}{begun}"
    if price.model is PriceModel.UNIT:
        return f"{format_unit_price(price.amount, currency)} {currency} a {_unit(item)}"
    tiers = ", ".join(_tier(tier, currency) for tier in price.tiers)
    return f"{tiers} {currency} a {_unit(item)} ({price.model})"


def _unit(item: Item) -> str | None:
    return item.per if item.meter is None else f"unit of {item.meter.code}"


def _code(meter: Meter | None) -> str:
    return "" if meter is None else meter.code


def meter_words(meter: Meter) -> str:
    """Tell what a meter counts: "sum of n of search, where region is eu or us"."""
    read = meter.value or meter.key
    of = f"{meter.aggregate} of {read} of" if read is not None else f"{meter.aggregate} of"
    conditions = [
        f"{name} is {' or '.join(values)}" for name, values in sorted(meter.where.items())
    ]
    where = f", where {' and '.join(conditions)}" if conditions else ""
    return f"{of} {meter.event}{where}"


def _tier(tier: PriceTier, currency: str) -> str:
    reach = "beyond" if tier.up_to is None else f"to {tier.up_to}"
    flat = f" and {format_amount(tier.flat, currency)}" if tier.flat else ""
    return f"{reach} {format_unit_price(tier.unit, currency)}{flat}"


def coupon_words(coupon: Coupon) -> str:
    """Tell what a coupon takes off, of what and for how long."""
    if coupon.percent is not None:
        off = f"{format_number(coupon.percent)} %"
    else:
        off = ", ".join(str(Money(each, code)) for code, each in sorted(coupon.amounts.items()))
    of = f" of {', '.join(coupon.on)}" if coupon.on is not None else ""
    span = format_duration(coupon)
    lasts = span if coupon.duration in ("once", "forever") else f"for {span}"
    return f"{off} off{of}, {lasts}{''.join(_limits(coupon))}"


def _limits(coupon: Coupon) -> Iterator[str]:
    if coupon.rest == "kept":
        yield ", its rest is kept"
    if coupon.until is not None:
        yield f", until {coupon.until}"
    if coupon.limit is not None:
        yield f", {coupon.limit} times at most"


def addon_record(addon: Addon) -> dict[str, Any]:
    """Return an add-on as a record, with amounts in minor units and exact prices as text."""
    return {
        "code": addon.code,
        "name": addon.name,
        "fits": list(addon.fits),
        "retired": _day(addon.retired),
        "versions": [
            {
                "effective": _day(version.effective),
                "existing": version.existing,
                "item": version.to_terms()["item"],
            }
            for version in addon.versions
        ],
    }


def coupon_record(coupon: Coupon, redeemed: Mapping[str, int]) -> dict[str, Any]:
    """Return a coupon as a record; `redeemed` says how often each one was."""
    percent = coupon.percent
    return {
        "code": coupon.code,
        "percent": None if percent is None else format_number(percent),
        "amount": dict(coupon.amounts),
        "on": None if coupon.on is None else list(coupon.on),
        "for": format_duration(coupon),
        "stack": coupon.stack,
        "rest": coupon.rest,
        "until": _day(coupon.until),
        "limit": coupon.limit,
        "redeemed": redeemed.get(coupon.code, 0),
    }


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
