"""Published changes within a period, and shares of it, computed by ours."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from uuid import UUID

from billing.plans.coupons import Coupon
from billing.plans.terms import Cadence
from billing.pricing import (
    Charge,
    Charged,
    Discount,
    InvoiceDraft,
    LineLeft,
    Redeemed,
    Return,
    Tax,
    credit_note,
    discounts_at,
    draft,
    lines_of_change,
    share_left,
)
from billing.rules.money import half_up
from billing.rules.periods import Anchor, Period, Schedule, civil_days_between, nth
from tests.unit.pricing.published.figures import (
    Found,
    Given,
    currency_of,
    minor,
    shown,
    whole_minor,
)
from tests.unit.pricing.values import amount_off, charge, facts, unit_price

DAY = timedelta(days=1)


def instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def period_of(given: Given) -> Period:
    end = instant(given["period_end"])
    return Period(instant(given["period_start"]), end + DAY if given.get("end_inclusive") else end)


def _charge(side: Given, given: Given, plan: str, period: Period) -> Charge:
    price = unit_price(minor(side["price"], given))
    made = charge(price, int(side.get("quantity", "1")), source=f"plan:{plan}:2024-01-01")
    return replace(made, period=period)


def _redeemed(side: Given, given: Given, at: datetime) -> list[Redeemed]:
    if "percent_off" in side:
        coupon = Coupon("off", percent=Fraction(side["percent_off"]), duration="forever")
    elif "discount" in side:
        amounts = {currency_of(given): whole_minor(side["discount"], given)}
        coupon = Coupon("off", amounts=amounts, duration="forever")
    else:
        return []
    return [Redeemed(UUID(int=1), coupon, at)]


def _discounts(
    side: Given, given: Given, period: Period, share: tuple[int, int] = (1, 1)
) -> tuple[Discount, ...]:
    redeemed = _redeemed(side, given, period.start)
    return discounts_at(redeemed, period.start, currency_of(given), "UTC", share=share)


def _charged(invoice: InvoiceDraft, charges: Sequence[Charge]) -> list[Charged]:
    return [
        Charged(UUID(int=1), (LineLeft(n, invoice.lines[n].gross),), each)
        for n, each in enumerate(charges)
    ]


def exchange(given: Given) -> Found:
    period, at = period_of(given), instant(given["at"])
    old, new = given.get("old"), given.get("new")
    before = [_charge(old, given, "old", period)] if old else []
    invoice = draft(facts(*before, discounts=_discounts(old or {}, given, period)))
    after = [_charge(new, given, "new", period)] if new else []
    own_period = new is not None and new.get("full_period", False)
    changed = lines_of_change(
        _charged(invoice, before), [] if own_period else after, period, at, "UTC"
    )
    note = credit_note(invoice, (), [Return(each.line, each.gross) for each in changed.returns])
    charges = after if own_period else changed.charges
    share = share_left(period, at, "UTC")
    drafted = draft(facts(*charges, discounts=_discounts(new or {}, given, period, share)))
    net = shown(drafted.total - note.total, given)
    if at == period.end:
        return {"lines": [*note.lines, *drafted.lines], "net": net}
    found = {"net": net}
    if old:
        found["credit"] = shown(-note.total, given)
    if new:
        found["charge"] = shown(drafted.total, given)
    return found


def seats(given: Given) -> Found:
    period, at = period_of(given), instant(given["at"])
    price = unit_price(minor(given["unit"], given))
    before = [charge(price, int(given["old_quantity"]), period=period)]
    after = charge(price, int(given["new_quantity"]), period=period)
    changed = lines_of_change(_charged(draft(facts(*before)), before), [after], period, at, "UTC")
    adjustment = draft(facts(*changed.charges)).total
    adjustment -= sum(each.gross for each in changed.returns)
    next_unit = unit_price(minor(given["next_unit"], given))
    following = draft(facts(charge(next_unit, int(given["new_quantity"]))))
    return {"adjustment": shown(adjustment, given), "next_period": shown(following.net, given)}


def left_to_credit(given: Given) -> Found:
    left = whole_minor(given["originally_charged"], given)
    left -= whole_minor(given["already_credited"], given)
    held = charge(minor(given["potential"], given))
    piece = Charged(UUID(int=1), (LineLeft(0, left),), held)
    assert held.period is not None
    changed = lines_of_change([piece], [], held.period, held.period.start, "UTC")
    return {"credit": shown(sum(each.gross for each in changed.returns), given)}


def days(given: Given) -> Found:
    start, end = instant(given["from"]), instant(given["to"])
    return {"days": civil_days_between(start, end, given["zone"])}


def items(given: Given) -> Found:
    period, at = period_of(given), instant(given["at"])

    def item(code: str, plan: str, figure: str) -> Charge:
        amount = minor(given[figure], given)
        return charge(amount, item=code, source=f"plan:{plan}:2025-01-01", period=period)

    before = [item("base", "old", "old"), item("gone", "old", "removed")]
    after = [item("base", "new", "new"), item("added", "new", "added")]
    changed = lines_of_change(_charged(draft(facts(*before)), before), after, period, at, "UTC")
    credit = [-each.gross for each in changed.returns]
    charged = [line.net for line in draft(facts(*changed.charges)).lines]
    lines = [credit[0], charged[0], credit[1], charged[1]]
    return {"lines": [shown(line, given) for line in lines], "net": shown(sum(lines), given)}


def metered(given: Given) -> Found:
    period, at = period_of(given), instant(given["at"])
    before = [charge(unit_price(1), 100, metered=True, period=period)]
    after = [replace(before[0], source="plan:new:2025-01-01")]
    changed = lines_of_change(_charged(draft(facts(*before)), before), after, period, at, "UTC")
    return {"lines": [*changed.charges, *changed.returns], "net": 0}


def month_part(given: Given) -> Found:
    start, end = instant(given["service_start"]), instant(given["service_end"]) + DAY
    month = nth(Schedule(Anchor(datetime(start.year, start.month, 1), "UTC"), MONTH), 0)  # noqa: DTZ001
    part = civil_days_between(start, end, "UTC")
    return {"actual": Fraction(part, share_left(month.period, month.period.start, "UTC")[1])}


def month_and_stub(given: Given) -> Found:
    price = minor(given["price"], given)
    share = (int(given["stub_days"]), int(given["days_in_month"]))
    whole = [charge(price, item=f"month-{n}") for n in range(int(given["full_months"]))]
    return {"actual": shown(draft(facts(*whole, charge(price, share=share))).net, given)}


MONTH = Cadence(1, "month")


def _stub(start: str, billing_day: int, n: int = 0) -> tuple[Period, Fraction]:
    schedule = Schedule(Anchor(datetime.fromisoformat(start), "UTC"), MONTH, anchor_day=billing_day)
    scheduled = nth(schedule, n)
    return scheduled.period, Fraction(scheduled.part, scheduled.whole)


def first_stub(given: Given) -> Found:
    billing_day = date.fromisoformat(given["next_billing_date"])
    period, share = _stub(given["start"], billing_day.day)
    assert period.end == instant(given["next_billing_date"])
    nine_digits = half_up(share.numerator * 10**9, share.denominator)
    return {"share": Fraction(nine_digits, 10**9)}


def whole_course(given: Given) -> Found:
    periods = [_stub(given["start"], int(given["billing_day"]), n) for n in range(3)]
    left, whole = share_left(periods[2][0], instant(given["end"]), "UTC")
    return {"periods": periods[0][1] + periods[1][1] + 1 - Fraction(left, whole)}


def second_change(given: Given) -> Found:
    whole = int(given["days"])
    vat = Tax("VAT", Fraction(given["tax"]), "XX")
    invoices = [
        draft(facts(charge(minor(price, given), share=(part, whole)), taxes=(vat,)))
        for price, part in given["invoices"]
    ]
    credits = []
    for (price, left), invoice in zip(given["credits"], invoices, strict=False):
        gross = half_up(whole_minor(price, given) * left, whole)
        credits.append(credit_note(invoice, (), [Return(0, gross)]).total)
    return {
        "fees": [Fraction(invoice.net, 100) for invoice in invoices],
        "credits_incl_tax": [Fraction(each, 100) for each in credits],
    }


def ended(given: Given) -> Found:
    period = period_of(given)
    part = civil_days_between(instant(given["from"]), instant(given["through"]) + DAY, "UTC")
    share = (part, share_left(period, period.start, "UTC")[1])
    return {
        "fee": shown(draft(facts(charge(minor(given["price"], given), share=share))).net, given)
    }


def shared_discount(given: Given) -> Found:
    share = Fraction(given["share"])
    part, whole = share.numerator, share.denominator
    amount = whole_minor(given["discount"], given)

    def charges(amounts: Sequence[str], share: tuple[int, int]) -> list[Charge]:
        return [
            charge(minor(each, given), item=f"item-{n}", share=share)
            for n, each in enumerate(amounts)
        ]

    invoice = draft(facts(*charges(given["old"], (1, 1)), discounts=(amount_off(amount),)))
    halves = [Return(n, half_up(line.gross * part, whole)) for n, line in enumerate(invoice.lines)]
    note = credit_note(invoice, (), halves)
    coupon = Coupon("off", amounts={currency_of(given): amount}, duration="forever")
    at = datetime(2027, 1, 1, tzinfo=UTC)
    off = discounts_at(
        [Redeemed(UUID(int=1), coupon, at)], at, currency_of(given), "UTC", share=(part, whole)
    )
    drafted = draft(facts(*charges(given["new"], (part, whole)), discounts=off))
    return {
        "old": [Fraction(line.net, 100) for line in note.lines],
        "new": [Fraction(line.net, 100) for line in drafted.lines],
    }


def seat_more(given: Given) -> Found:
    """The discount was taken off the invoice of the period, and isn't taken off again."""
    unit = whole_minor(given["new"], given) - whole_minor(given["old"], given)
    more = charge(unit_price(unit), whole_minor(given["old"], given) // unit)
    invoice = draft(facts(more, discounts=(amount_off(whole_minor(given["discount"], given)),)))
    after = replace(more, quantity=Fraction(whole_minor(given["new"], given), unit))
    assert more.period is not None
    changed = lines_of_change(
        _charged(invoice, [more]), [after], more.period, more.period.start, "UTC"
    )
    return {"delta": shown(draft(facts(*changed.charges)).total, given)}


def starts(given: Given) -> Found:
    anchor = datetime.fromisoformat(given["anchor"])
    schedule = Schedule(Anchor(anchor, "UTC"), Cadence.parse(given["every"]))
    return {"starts": [nth(schedule, n).period.start.date().isoformat() for n in range(3)]}
