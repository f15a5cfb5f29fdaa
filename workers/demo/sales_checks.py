"""Checks of the demo's sales: items, coupons, credit, changes and credit notes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, TextClause, text

from billing.plans.catalogs import Catalog
from billing.rules.money import Money
from billing.store.rows import reader
from billing.workers.demo.sales import Sold


@dataclass(frozen=True, slots=True)
class CreditSum:
    """What became of the credit in a currency, in minor units; `booked` is what the journal has."""

    currency: str
    granted: int
    goodwill: int
    used: int
    expired: int
    left: int
    booked: int

    def __str__(self) -> str:
        granted, used, left = (
            Money(amount, self.currency) for amount in (self.granted, self.used, self.left)
        )
        expired = f", {Money(self.expired, self.currency)} expired" * bool(self.expired)
        return f"{granted} granted, {used} used{expired}, {left} left"


@dataclass(frozen=True, slots=True)
class TaxSum:
    """What a jurisdiction levied in a currency, in minor units, and on how many invoices."""

    jurisdiction: str
    treatment: str
    currency: str
    invoices: int
    base: int
    amount: int

    def __str__(self) -> str:
        base, amount = (Money(each, self.currency) for each in (self.base, self.amount))
        return f"{self.jurisdiction} {self.treatment}: {amount} of {base}"


@dataclass(frozen=True, slots=True)
class SalesFigures:
    """Actual counts beside what the demo did.

    `most_used` says off how many invoices of periods a redemption of a coupon took something at
    most, `may_be_used` off how many it may; a coupon without an end isn't in it.
    `notes_by_destination` counts the notes of changes, too. What is `..._off` doesn't agree with
    its parts.
    """

    with_items: int = 0
    with_addons: int = 0
    charged_once: int = 0
    free_periods: int = 0
    free_invoiced: int = 0
    redeemed: int = 0
    redeemed_by_demo: int = 0
    invoices_discounted: int = 0
    discounts_off: int = 0
    most_used: Mapping[str, int] = field(default_factory=dict)
    may_be_used: Mapping[str, int] = field(default_factory=dict)
    credit: Sequence[CreditSum] = ()
    goodwill_by_demo: Mapping[str, int] = field(default_factory=dict)
    changes_by_time: Mapping[str, int] = field(default_factory=dict)
    changes_by_demo: int = 0
    ordered: Mapping[str, int] = field(default_factory=dict)
    """Invoices beside subscriptions, by kind, and by kind as the demo asked for them."""
    ordered_by_demo: Mapping[str, int] = field(default_factory=dict)
    ordered_unpaid: int = 0
    bought_off: int = 0
    """Invoices of credit that granted something else than their total."""
    notes_by_destination: Mapping[str, int] = field(default_factory=dict)
    notes_by_demo: int = 0
    notes_off: int = 0
    taxes: Sequence[TaxSum] = ()
    taxes_off: int = 0
    collected: Mapping[str, int] = field(default_factory=dict)
    """What was due of the invoices whose payments were captured, by currency in minor units."""

    def findings(self, captured: Mapping[str, int]) -> list[str]:
        """Return in words what doesn't add up; `captured` is the provider's sum by currency."""
        return [
            *self._of_sales(captured),
            *self._of_coupons(),
            *(found for each in self.credit for found in self._of_credit(each)),
            *_unless(
                self._goodwill == dict(self.goodwill_by_demo),
                f"{dict(self.goodwill_by_demo)} of goodwill was granted, the rows say"
                f" {self._goodwill}",
            ),
        ]

    @property
    def _goodwill(self) -> dict[str, int]:
        return {each.currency: each.goodwill for each in self.credit if each.goodwill}

    def _of_sales(self, captured: Mapping[str, int]) -> list[str]:
        charged = {currency: amount for currency, amount in captured.items() if amount}
        changes, notes = dict(self.changes_by_time), dict(self.notes_by_destination)
        return [
            *_unless(
                dict(self.collected) == charged,
                f"invoices were due {dict(self.collected)}, the provider captured {charged}",
            ),
            *_unless(not self.free_invoiced, f"{self.free_invoiced} free periods have an invoice"),
            *_unless(
                sum(changes.values()) == self.changes_by_demo,
                f"{self.changes_by_demo} changes were asked for: {changes}",
            ),
            *_unless(
                dict(self.ordered) == dict(self.ordered_by_demo),
                f"{dict(self.ordered_by_demo)} invoices were ordered: {dict(self.ordered)}",
            ),
            *_unless(
                not self.ordered_unpaid, f"{self.ordered_unpaid} invoices of orders are unpaid"
            ),
            *_unless(
                not self.bought_off,
                f"{self.bought_off} invoices of credit granted something else than their total",
            ),
            *_unless(
                sum(notes.values()) == self.notes_by_demo,
                f"{self.notes_by_demo} credit notes were issued: {notes}",
            ),
            *_unless(
                not self.taxes_off,
                f"the taxes of {self.taxes_off} invoices are not those of their decisions",
            ),
            *_unless(
                not self.notes_off,
                f"{self.notes_off} credit notes gave something else than their total",
            ),
        ]

    def _of_coupons(self) -> list[str]:
        return [
            *_unless(
                self.redeemed == self.redeemed_by_demo,
                f"{self.redeemed_by_demo} coupons were redeemed, there are {self.redeemed}"
                " redemptions",
            ),
            *_unless(
                not self.discounts_off,
                f"the discounts of {self.discounts_off} invoices are not those of their"
                " redemptions and lines",
            ),
            *(
                f"coupon {coupon} took something off {used} invoices, and may off {most}"
                for coupon, most in self.may_be_used.items()
                if (used := self.most_used.get(coupon, 0)) > most
            ),
        ]

    def _of_credit(self, each: CreditSum) -> list[str]:
        return [
            *_unless(
                each.granted == each.used + each.expired + each.left,
                f"credit in {each.currency} does not add up: {each}",
            ),
            *_unless(
                each.left == each.booked,
                f"customers have {Money(each.left, each.currency)} of credit left,"
                f" the journal has {Money(each.booked, each.currency)}",
            ),
        ]


def _unless(holds: bool, finding: str) -> list[str]:
    return [] if holds else [finding]


def sales_figures(conn: Connection, catalog: Catalog, done: Sold) -> SalesFigures:
    """Count everything once."""
    counts = conn.execute(_COUNTS).one()
    return SalesFigures(
        with_items=int(counts.with_items),
        with_addons=int(counts.with_addons),
        charged_once=int(counts.charged_once),
        free_periods=int(counts.free_periods),
        free_invoiced=int(counts.free_invoiced),
        redeemed=int(counts.redeemed),
        redeemed_by_demo=done.redeemed,
        invoices_discounted=int(counts.invoices_discounted),
        discounts_off=int(counts.discounts_off),
        most_used=_by_word(conn, _MOST_USED),
        may_be_used=_may_be_used(catalog),
        credit=[_credit(row) for row in conn.execute(_CREDIT)],
        goodwill_by_demo=dict(done.goodwill),
        changes_by_time=_by_word(conn, _CHANGES),
        changes_by_demo=len(done.changes),
        ordered=_by_word(conn, _ORDERED),
        ordered_by_demo={str(kind): len(ids) for kind, ids in sorted(done.ordered.items())},
        ordered_unpaid=int(counts.ordered_unpaid),
        bought_off=int(counts.bought_off),
        notes_by_destination=_by_word(conn, _NOTES),
        notes_by_demo=len(done.notes),
        notes_off=int(counts.notes_off),
        taxes=[_tax(row) for row in conn.execute(_TAXES)],
        taxes_off=int(counts.taxes_off),
        collected=_by_word(conn, _COLLECTED),
    )


def _may_be_used(catalog: Catalog) -> dict[str, int]:
    return {
        coupon.code: coupon.number
        for coupon in catalog.coupons.values()
        if coupon.duration in ("once", "invoices")
    }


def _by_word(conn: Connection, query: TextClause) -> dict[str, int]:
    return {row.word: int(row.n) for row in conn.execute(query)}


_credit = reader(CreditSum)
_tax = reader(TaxSum)

_COUNTS: Final = text(
    """
    SELECT (SELECT count(DISTINCT subscription_id) FROM subscription_items) AS with_items,
           (SELECT count(*) FROM subscription_items WHERE addon IS NOT NULL AND quantity > 0)
             AS with_addons,
           (SELECT count(*) FROM subscription_items WHERE billed_in IS NOT NULL) AS charged_once,
           (SELECT count(*) FROM cycles WHERE kind = 'free') AS free_periods,
           (SELECT count(*) FROM cycles c JOIN invoices i ON i.cycle_id = c.id
             WHERE c.kind = 'free') AS free_invoiced,
           (SELECT count(*) FROM redemptions) AS redeemed,
           (SELECT count(*) FROM invoices WHERE kind IN ('one_off', 'top_up')
                                            AND status <> 'paid') AS ordered_unpaid,
           (SELECT count(*) FROM invoices i
              LEFT JOIN credit_grants g ON g.invoice_id = i.id AND g.source = 'bought'
             WHERE i.kind = 'top_up' AND i.total IS DISTINCT FROM g.amount) AS bought_off,
           (SELECT count(*) FROM invoices WHERE discount > 0 AND status <> 'void')
             AS invoices_discounted,
           (SELECT count(*) FROM invoices i
             WHERE i.discount <> (SELECT coalesce(sum(d.amount), 0) FROM invoice_discounts d
                                   WHERE d.invoice_id = i.id)
                OR i.discount <> (SELECT coalesce(sum(l.discount), 0) FROM invoice_lines l
                                   WHERE l.invoice_id = i.id)) AS discounts_off,
           (SELECT count(*) FROM invoices i
             WHERE i.kind <> 'top_up'
               AND (i.tax <> (SELECT coalesce(sum(x.amount), 0) FROM invoice_taxes x
                               WHERE x.invoice_id = i.id)
                    OR NOT EXISTS (SELECT FROM invoice_taxes x WHERE x.invoice_id = i.id)))
             AS taxes_off,
           (SELECT count(*) FROM credit_notes n
              LEFT JOIN credit_grants g ON g.note_id = n.id
              LEFT JOIN refunds r ON r.note_id = n.id AND r.state <> 'failed'
             WHERE n.total <> coalesce(g.amount, 0) + coalesce(r.amount, 0)) AS notes_off
    """
)
# An invoice of a change has the discounts of its period's, and uses nothing up.
_MOST_USED: Final = text(
    """
    SELECT u.coupon AS word, max(u.n) AS n
      FROM (SELECT r.coupon, count(*) AS n
              FROM redemptions r
              JOIN invoice_discounts d ON d.redemption_id = r.id
              JOIN invoices i ON i.id = d.invoice_id AND i.status <> 'void' AND i.kind <> 'change'
             GROUP BY r.id) u
     GROUP BY u.coupon ORDER BY u.coupon
    """
)
_CREDIT: Final = text(
    """
    SELECT g.currency, g.granted, g.goodwill, m.expired, m.left,
           coalesce((SELECT sum(i.credit) FROM invoices i
                      WHERE i.currency = g.currency AND i.status <> 'void'), 0)::bigint AS used,
           coalesce((SELECT -sum(p.amount) FROM ledger.accounts a
                       JOIN ledger.postings p ON p.account_id = a.id
                      WHERE a.code = 'customer_credit' AND a.currency = g.currency), 0)::bigint
             AS booked
      FROM (SELECT currency, sum(amount)::bigint AS granted,
                   coalesce(sum(amount) FILTER (WHERE source = 'goodwill'), 0)::bigint AS goodwill
              FROM credit_grants GROUP BY currency) g
      JOIN (SELECT currency,
                   coalesce(sum(amount) FILTER (WHERE kind = 'expired'), 0)::bigint AS expired,
                   coalesce(sum(left_after) FILTER (WHERE n = last), 0)::bigint AS left
              FROM (SELECT *, max(n) OVER (PARTITION BY grant_id) AS last FROM credit_moves) x
             GROUP BY currency) m ON m.currency = g.currency
     ORDER BY g.currency
    """
)
_TAXES: Final = text(
    """
    SELECT x.jurisdiction, x.treatment, i.currency, count(*) AS invoices,
           sum(x.base)::bigint AS base, sum(x.amount)::bigint AS amount
      FROM invoice_taxes x JOIN invoices i ON i.id = x.invoice_id
     WHERE i.status <> 'void'
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    """
)
_CHANGES: Final = text(
    """
    SELECT applies AS word, count(*) AS n FROM subscription_changes
     WHERE kind IN ('quantity', 'plan', 'schedule') AND applies IS NOT NULL
     GROUP BY applies ORDER BY applies
    """
)
_ORDERED: Final = text(
    """
    SELECT kind AS word, count(*) AS n FROM invoices WHERE kind IN ('one_off', 'top_up')
     GROUP BY kind ORDER BY kind
    """
)
_NOTES: Final = text(
    """
    SELECT destination AS word, count(*) AS n FROM credit_notes
     GROUP BY destination ORDER BY destination
    """
)
_COLLECTED: Final = text(
    """
    SELECT lower(i.currency) AS word, sum(i.due) AS n
      FROM invoices i JOIN payments p ON p.invoice_id = i.id
     WHERE p.captured_at IS NOT NULL GROUP BY i.currency ORDER BY i.currency
    """
)
