"""Published discounts, taxes, uses of credit and credit notes, computed by ours."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from billing.plans.coupons import Coupon
from billing.pricing import (
    Credit,
    Discount,
    GrantedCredit,
    InvoiceDraft,
    Noted,
    NoteDraft,
    Redeemed,
    Return,
    Tax,
    TaxRounding,
    credit_at,
    credit_note,
    discount_at,
    draft,
)
from billing.rules.money import half_up
from tests.unit.pricing.published.figures import (
    Found,
    Given,
    currency_of,
    minor,
    shown,
    whole_minor,
)
from tests.unit.pricing.values import amount_off, charge, facts, percent_off

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA = UUID(int=100)


def coupon_of(coupon: Given, given: Given, n: int) -> Discount:
    if "percent" in coupon:
        return percent_off(coupon["percent"], coupon.get("lines"), n)
    return amount_off(whole_minor(coupon["amount"], given), coupon.get("lines"), n)


def invoice_of(
    amounts: Sequence[int | Fraction],
    discounts: Sequence[Discount] = (),
    taxes: Sequence[Tax] = (),
    credit: Sequence[Credit] = (),
) -> InvoiceDraft:
    charges = [charge(amount, item=f"item-{n}") for n, amount in enumerate(amounts)]
    return draft(
        facts(*charges, discounts=tuple(discounts), taxes=tuple(taxes), credit=tuple(credit))
    )


def tax_of(rate: str, **terms: Any) -> Tax:
    return Tax("VAT", Fraction(rate), "XX", **terms)


# --- discounts ----------------------------------------------------------------------------------


def coupons(given: Given) -> Found:
    used = [coupon_of(coupon, given, n) for n, coupon in enumerate(given["coupons"])]
    drafted = invoice_of([minor(given["subtotal"], given)], used)
    return {
        "discounts": [shown(each.amount, given) for each in drafted.discounts],
        "discount": shown(drafted.discount, given),
        "after": shown(drafted.net, given),
    }


def rest_kept(given: Given) -> Found:
    amounts = {currency_of(given): whole_minor(given["amount"], given)}
    used = Redeemed(
        UUID(int=1),
        Coupon("kept", amounts=amounts, rest="kept"),
        NOW,
        invoices=1,
        taken=whole_minor(given["used"], given),
    )
    found = discount_at(used, NOW, currency_of(given), "UTC")
    assert found is not None
    return {
        "discount": shown(invoice_of([minor(given["subtotal"], given)], [found]).discount, given)
    }


def _discounted_lines(given: Given, discount: Discount) -> InvoiceDraft:
    return invoice_of([minor(amount, given) for amount in given["amounts"]], [discount])


def split(given: Given) -> Found:
    drafted = _discounted_lines(given, amount_off(whole_minor(given["discount"], given)))
    return {"shares": [shown(line.discount, given) for line in drafted.lines]}


def percent_of_sum(given: Given) -> Found:
    drafted = _discounted_lines(given, percent_off(given["percent"]))
    return {
        "on_sum": shown(drafted.discount, given),
        "largest_remainder": [shown(line.discount, given) for line in drafted.lines],
    }


def percent_of_lines(given: Given) -> Found:
    drafted = _discounted_lines(given, percent_off(given["percent"]))
    return {"discounts": [shown(line.discount, given) for line in drafted.lines]}


# --- taxes --------------------------------------------------------------------------------------


def tax_on_top(given: Given) -> Found:
    drafted = invoice_of([minor(given["net"], given)], taxes=[tax_of(given["rate"])])
    return {"tax": shown(drafted.tax, given), "gross": shown(drafted.total, given)}


def tax_contained(given: Given) -> Found:
    contained = tax_of(given["rate"], included=True)
    drafted = invoice_of([minor(given["gross"], given)], taxes=[contained])
    return {"net": shown(drafted.net, given), "tax": shown(drafted.tax, given)}


def several_taxes(given: Given) -> Found:
    decided = [Tax(f"tax-{n}", Fraction(rate), "XX") for n, rate in enumerate(given["rates"])]
    drafted = invoice_of([minor(given["net"], given)], taxes=decided)
    return {
        "taxes": [shown(each.amount, given) for each in drafted.taxes],
        "tax": shown(drafted.tax, given),
    }


def taxed_lines(given: Given) -> Found:
    reason = given.get("reason", "")
    decided = [
        tax_of(rate, on=(f"item-{n}",), reason=reason) for n, (_, rate) in enumerate(given["lines"])
    ]
    drafted = invoice_of([minor(net, given) for net, _ in given["lines"]], taxes=decided)
    assert {each.reason for each in drafted.taxes} == {reason}
    return {
        "taxes": [shown(line.tax, given) for line in drafted.lines],
        "tax": shown(drafted.tax, given),
        "total": shown(drafted.total, given),
    }


def taxed_after_coupons(given: Given) -> Found:
    used = [amount_off(whole_minor(each, given), n=n) for n, each in enumerate(given["coupons"])]
    drafted = invoice_of([minor(given["net"], given)], used, [tax_of(given["rate"])])
    return {
        "discount": shown(drafted.discount, given),
        "tax": shown(drafted.tax, given),
        "total": shown(drafted.total, given),
    }


def per_rate(given: Given) -> Found:
    made = facts(
        *(charge(minor(net, given)) for net in given["lines"]), taxes=(tax_of(given["rate"]),)
    )
    by_line = draft(replace(made, tax_rounding=TaxRounding.LINE))
    return {"per_rate": shown(draft(made).tax, given), "per_line": shown(by_line.tax, given)}


# --- credit -------------------------------------------------------------------------------------


def balance(given: Given) -> Found:
    """A debt is what an earlier release carried over."""
    held, total = whole_minor(given["balance"], given), minor(given["total"], given)
    grant = Credit(UUID(int=1), max(held, 0))
    drafted = draft(facts(charge(total), credit=(grant,), carried=max(-held, 0)))
    paid = sum(each.amount for each in drafted.credit)
    applied = -paid if held > 0 else -held
    return {
        "applied": shown(applied, given),
        "due": shown(drafted.due, given),
        "balance": shown(held + applied, given),
    }


def prepaid(given: Given) -> Found:
    left, rows = whole_minor(given["granted"], given), []
    for net in given["charges"]:
        drafted = invoice_of(
            [minor(net, given)],
            taxes=[tax_of(given["tax"])],
            credit=[Credit(UUID(int=1), left)],
        )
        paid = sum(each.amount for each in drafted.credit)
        left -= paid
        rows.append([shown(each, given) for each in (drafted.total, paid, drafted.due)])
    return {"invoices": rows, "balance": shown(left, given)}


def credit_capped(given: Given) -> Found:
    drafted = invoice_of(
        [minor(fee, given) for fee in given["precise_fees"]],
        taxes=[tax_of(given["rate"])],
        credit=[Credit(UUID(int=1), whole_minor(given["wallet"], given))],
    )
    return {
        "fees": shown(drafted.net, given),
        "tax": shown(drafted.tax, given),
        "total": shown(drafted.total, given),
        "credit_applied": shown(sum(each.amount for each in drafted.credit), given),
        "due": shown(drafted.due, given),
    }


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)


def _grants(rows: Sequence[Given]) -> dict[UUID, str]:
    """Return the names of the grants by ids in the order of the names."""
    return {UUID(int=n + 1): name for n, name in enumerate(sorted(row["id"] for row in rows))}


def _granted(row: Given, grant: UUID) -> GrantedCredit:
    created = _instant(row.get("created", "2025-12-31T00:00"))
    assert created is not None
    return GrantedCredit(
        grant=grant,
        left=int(row.get("amount", "1")),
        priority=int(row["priority"]),
        created=created,
        effective=created,
        expires=_instant(row["expires"]),
    )


def order_of_grants(given: Given) -> Found:
    names = _grants(given["grants"])
    ids = {name: grant for grant, name in names.items()}
    at = datetime(2025, 12, 31, 23, 30, tzinfo=UTC)
    ordered = credit_at([_granted(row, ids[row["id"]]) for row in given["grants"]], at, ADA)
    return {"order": [names[each.grant] for each in ordered]}


def grants_used(given: Given) -> Found:
    names = _grants(given["grants"])
    ids = {name: grant for grant, name in names.items()}
    granted = [_granted(row, ids[row["id"]]) for row in given["grants"]]
    drafted = invoice_of([int(given["amount"])], credit=credit_at(granted, NOW, ADA))
    paid = {each.grant: each.amount for each in drafted.credit}
    left = {names[each.grant]: each.left - paid.get(each.grant, 0) for each in granted}
    return {"left": left, "uncovered": drafted.due}


# --- credit notes -------------------------------------------------------------------------------


def note_of_days(given: Given) -> Found:
    price = whole_minor(given["price"], given)
    invoice = invoice_of([price], taxes=[tax_of(given["tax"])])
    gross = half_up(price * int(given["days_left"]), int(given["days"]))
    note = credit_note(invoice, (), [Return(0, gross)])
    return {each: shown(getattr(note, each), given) for each in ("net", "tax", "total")}


def _notes_one_after_another(
    invoice: InvoiceDraft, amounts: Sequence[int]
) -> tuple[NoteDraft, ...]:
    notes, noted = [], list[Noted]()
    for gross in amounts:
        notes.append(credit_note(invoice, noted, [Return(0, gross)]))
        noted.append(Noted(0, gross))
    return tuple(notes)


def notes_of_amounts(given: Given) -> Found:
    rate = str(Fraction(given["tax"]) / Fraction(given["net"]) * 100)
    invoice = invoice_of([whole_minor(given["net"], given)], taxes=[tax_of(rate)])
    notes = _notes_one_after_another(invoice, [whole_minor(c, given) for c in given["credits"]])
    return {
        "notes": [[note.net, note.tax, note.total] for note in notes],
        "tax_sum": sum(note.tax for note in notes),
    }


def second_note(given: Given) -> Found:
    line, last = whole_minor(given["line"], given), whole_minor(given["credit"], given)
    decided = [
        Tax(f"tax-{n}", Fraction(tax) / line * 100, "XX") for n, tax in enumerate(given["taxes"])
    ]
    notes = _notes_one_after_another(invoice_of([line], taxes=decided), [line - last, last])
    return {"taxes": [each.amount for each in notes[1].taxes], "tax": notes[1].tax}


def notes_of_lines(given: Given) -> Found:
    amounts = [whole_minor(each, given) for each in given["lines"]]
    discount = percent_off(given["discount_percent"])
    invoice = invoice_of(amounts, [discount], [tax_of(given["tax"])])
    notes = [credit_note(invoice, (), [Return(line) for line in note]) for note in given["notes"]]
    return {
        "notes": [
            {
                "subtotal": sum(line.gross for line in note.lines),
                "discount": note.discount,
                "tax": note.tax,
                "total": note.total,
            }
            for note in notes
        ]
    }


def note_of_net(given: Given) -> Found:
    net = whole_minor(given["subtotal"], given)
    rate = str(Fraction(given["tax"]) / net * 100)
    invoice = invoice_of([net], taxes=[replace(tax_of(rate), included=False)])
    note = credit_note(invoice, (), [Return(0, whole_minor(given["refund_net"], given))])
    return {"net": shown(note.net, given), "tax": shown(note.tax, given)}
