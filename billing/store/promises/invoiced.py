"""Promise 7: invoices with the facts that they follow from, read row by row."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from itertools import groupby
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.rules.promises import FindingKind
from billing.store.promises.check import check
from billing.store.rows import reader


@dataclass(frozen=True, slots=True)
class InvoicedLine:
    """One line as it is stored, in the order of a draft's."""

    line: int
    item: str
    description: str
    quantity: Fraction
    unit_price: str | None
    unit_amount: int | None
    gross: int
    discount: int
    amount: int
    tax: int
    tax_included: bool
    period_start: datetime | None
    period_end: datetime | None
    part: int
    whole: int
    detail: Any
    earned_at_issue: bool


@dataclass(frozen=True, slots=True)
class InvoicedItem:
    """What a subscription holds of an item, and whether another invoice charged it for good."""

    quantity: int
    billed_in: UUID | None


@dataclass(frozen=True, slots=True)
class InvoicedCredit:
    """What of a grant pays an invoice, and what was left of it before that."""

    grant: UUID
    left: int
    amount: int


@dataclass(frozen=True, slots=True)
class InvoicedTax:
    """A tax as it is stored, in the order of a draft's; `rate` is exact text."""

    decision: UUID
    name: str
    jurisdiction: str
    treatment: str
    rate: str
    included: bool
    reason: str
    base: int
    amount: int


@dataclass(frozen=True, slots=True)
class Invoiced:
    """One invoice that has facts, with its cycle and what its subscription holds.

    The invoice of a change is of the period that starts at `changed_in`.
    What was issued for a period before `anchored_from` is of the zone as it was then. `credit_used`
    are the grants that pay it, in the order in which grants are used; `small` is what was waived.
    `discounts` are redemptions by id, with what they are of and what they took off. `decided` is
    what the decision says that the facts name. `closings` are those of usage that were written
    with it, and `paused` the numbers of paused periods among theirs.
    """

    id: UUID
    number: str
    kind: str
    rules: int
    facts: str
    currency: str
    net: int
    tax: int
    total: int
    discount: int
    credit: int
    n: int | None
    plan: str | None
    plan_version: date | None
    period_start: datetime | None
    period_end: datetime | None
    zone: str | None
    anchored_from: datetime | None
    subscription_id: UUID | None
    change_id: UUID | None
    changed_in: datetime | None
    quantity: int | None
    items: Mapping[str, InvoicedItem]
    discounts: Sequence[tuple[UUID, int, int]]
    credit_used: Sequence[InvoicedCredit]
    closings: Sequence[Sequence[Any]]
    paused: Collection[int]
    small: int
    taxes: Sequence[InvoicedTax]
    decided: str | None
    lines: tuple[InvoicedLine, ...]


# The order in which grants pay, as in `pricing.grants`.
_USED: Final = "c.priority, coalesce(c.expires_at, 'infinity'), c.created_at, c.id, m.n"
_GIVEN: Final = "(c.source <> 'small' OR c.invoice_id IS DISTINCT FROM m.invoice_id)"
# The zone of the segment that a cycle is of, or that had begun when a change held.
_ZONE: Final = """(SELECT g.zone FROM segments g
              LEFT JOIN subscription_changes h ON h.change_id = i.change_id
             WHERE g.subscription_id = i.subscription_id
               AND CASE WHEN i.cycle_id IS NULL
                        THEN g.from_n = 0 OR g.starts_at < h.holds_from
                             OR g.starts_at = h.holds_from AND NOT EXISTS (
                                SELECT FROM cycle_cuts k
                                  JOIN subscription_changes u ON u.change_id = k.change_id
                                 WHERE k.subscription_id = g.subscription_id
                                   AND k.cut_at = g.starts_at AND u.id > h.id)
                        ELSE g.from_n <= c.n END
             ORDER BY g.from_n DESC LIMIT 1)"""
_INVOICES: Final = text(
    """
    SELECT i.id, i.number, i.kind, i.rules, i.facts, i.currency, i.net, i.tax, i.total,
           i.discount, i.credit, c.n, c.plan, c.plan_version, c.period_start AS cycle_start,
           c.period_end AS cycle_end,
           CASE WHEN s.segment_from_n > 0 THEN {zone} ELSE s.zone END AS zone,
           (SELECT max(a.holds_from) FROM subscription_changes a
             WHERE a.subscription_id = i.subscription_id AND a.kind = 'reanchor') AS anchored_from,
           i.subscription_id, i.change_id,
           CASE WHEN i.change_id IS NOT NULL THEN (
                SELECT max(y.period_start) FROM cycles y
                  JOIN subscription_changes h ON h.change_id = i.change_id
                 WHERE y.subscription_id = i.subscription_id AND y.period_start <= h.holds_from)
           END AS changed_in,
           s.quantity AS held_quantity, t.items, t.quantities, t.billed_in,
           d.redemptions, d.bases, d.taken, k.closings, k.paused, g.grants, g.lefts, g.amounts,
           coalesce(g.small, 0) AS small, x.taxes, y.response AS decided,
           l.line, l.item, l.description, l.quantity, l.unit_price, l.unit_amount, l.gross,
           l.discount AS line_discount, l.amount, l.tax AS line_tax, l.tax_included, l.period_start,
           l.period_end, l.part, l.whole, l.detail,
           l.earned_at_issue
      FROM invoices i
      LEFT JOIN cycles c ON c.id = i.cycle_id
      LEFT JOIN subscriptions s ON s.id = i.subscription_id
      LEFT JOIN LATERAL (
           SELECT array_agg(h.item ORDER BY h.item) AS items,
                  array_agg(h.quantity ORDER BY h.item) AS quantities,
                  array_agg(h.billed_in ORDER BY h.item) AS billed_in
             FROM subscription_items h WHERE h.subscription_id = i.subscription_id) t ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(m.grant_id ORDER BY {used}) FILTER (WHERE {given}) AS grants,
                  array_agg(m.left_before ORDER BY {used}) FILTER (WHERE {given}) AS lefts,
                  array_agg(m.amount ORDER BY {used}) FILTER (WHERE {given}) AS amounts,
                  sum(m.amount) FILTER (WHERE NOT {given}) AS small
             FROM credit_moves m JOIN credit_grants c ON c.id = m.grant_id
            WHERE m.invoice_id = i.id AND m.kind = 'applied') g ON i.credit > 0
      LEFT JOIN LATERAL (
           SELECT array_agg(o.redemption_id ORDER BY o.redemption_id) AS redemptions,
                  array_agg(o.base ORDER BY o.redemption_id) AS bases,
                  array_agg(o.amount ORDER BY o.redemption_id) AS taken
             FROM invoice_discounts o WHERE o.invoice_id = i.id) d ON true
      LEFT JOIN LATERAL (
           SELECT jsonb_agg(jsonb_build_array(
                      v.decision_id, v.name, v.jurisdiction, v.treatment, v.rate, v.included,
                      v.reason, v.base, v.amount) ORDER BY v.n) AS taxes,
                  (array_agg(v.decision_id))[1] AS decision
             FROM invoice_taxes v WHERE v.invoice_id = i.id) x ON true
      LEFT JOIN tax_decisions y ON y.id = x.decision
      LEFT JOIN LATERAL (
           SELECT jsonb_agg(jsonb_build_array(u.meter, u.n, u.segment, u.revision,
                                              trim_scale(u.quantity)::text, u.events,
                                              u.id_sum::text)
                            ORDER BY u.meter, u.n, u.segment, u.revision) AS closings,
                  array_agg(u.n) FILTER (WHERE p.kind = 'paused') AS paused
             FROM usage_closings u
             LEFT JOIN cycles p ON p.subscription_id = u.subscription_id AND p.n = u.n
            WHERE u.invoice_id = i.id AND u.at = i.issued_at) k ON true
      LEFT JOIN invoice_lines l ON l.invoice_id = i.id
     WHERE i.facts IS NOT NULL
     ORDER BY i.id, l.line
    """.replace("{zone}", _ZONE)
    .replace("{used}", _USED)
    .replace("{given}", _GIVEN)
)


def with_facts(conn: Connection, batch: int) -> Iterator[Invoiced]:
    """Yield each invoice that has facts, with its lines, through a cursor of the server."""
    options = {"stream_results": True, "yield_per": batch}
    with conn.execute(_INVOICES, execution_options=options) as rows:
        for _, group in groupby(rows, key=attrgetter("id")):
            of_one = list(group)
            head = of_one[0]
            yield Invoiced(
                id=head.id,
                number=head.number,
                kind=head.kind,
                rules=head.rules,
                facts=head.facts,
                currency=head.currency,
                net=head.net,
                tax=head.tax,
                total=head.total,
                discount=head.discount,
                credit=head.credit,
                n=head.n,
                plan=head.plan,
                plan_version=head.plan_version,
                period_start=head.cycle_start,
                period_end=head.cycle_end,
                zone=head.zone,
                anchored_from=head.anchored_from,
                subscription_id=head.subscription_id,
                change_id=head.change_id,
                changed_in=head.changed_in,
                quantity=head.held_quantity,
                items=_items(head),
                discounts=_discounts(head),
                credit_used=_credit(head),
                closings=head.closings or (),
                paused=head.paused or (),
                small=int(head.small),
                taxes=_taxes(head),
                decided=head.decided,
                lines=tuple(_line(row) for row in of_one if row.line is not None),
            )


# Invoices of before have no facts, and lines without exact prices.
_LOST: Final = text(
    """
    SELECT i.number FROM invoices i
     WHERE i.facts IS NULL
       AND EXISTS (SELECT FROM invoice_lines l
                    WHERE l.invoice_id = i.id
                      AND (l.unit_price IS NOT NULL OR l.period_start IS NOT NULL))
     ORDER BY i.id
    """
)


def that_lost_facts(conn: Connection) -> Iterator[str]:
    """Yield the numbers of invoices that had facts, as their lines show, and have none."""
    yield from conn.execute(_LOST).scalars()


def _items(row: Any) -> Mapping[str, InvoicedItem]:
    held = zip(row.items or (), row.quantities or (), row.billed_in or (), strict=True)
    return {item: InvoicedItem(quantity, billed_in) for item, quantity, billed_in in held}


def _discounts(row: Any) -> Sequence[tuple[UUID, int, int]]:
    return list(zip(row.redemptions or (), row.bases or (), row.taken or (), strict=True))


def _taxes(row: Any) -> Sequence[InvoicedTax]:
    return [InvoicedTax(UUID(each[0]), *each[1:]) for each in row.taxes or ()]


def _credit(row: Any) -> Sequence[InvoicedCredit]:
    used = zip(row.grants or (), row.lefts or (), row.amounts or (), strict=True)
    return [InvoicedCredit(*each) for each in used]


def _line(row: Any) -> InvoicedLine:
    return InvoicedLine(
        line=row.line,
        item=row.item,
        description=row.description,
        quantity=Fraction(row.quantity),
        unit_price=row.unit_price,
        unit_amount=row.unit_amount,
        gross=row.gross,
        discount=row.line_discount,
        amount=row.amount,
        tax=row.line_tax,
        tax_included=row.tax_included,
        period_start=row.period_start,
        period_end=row.period_end,
        part=row.part,
        whole=row.whole,
        detail=row.detail,
        earned_at_issue=row.earned_at_issue,
    )


@dataclass(frozen=True, slots=True)
class FreeCycle:
    """A cycle that cost nothing, and what its subscription held."""

    subscription_id: UUID
    n: int
    plan: str
    plan_version: date
    currency: str


_free_of = reader(FreeCycle)
_FREE: Final = text(
    """
    SELECT c.subscription_id, c.n, c.plan, c.plan_version, s.currency
      FROM cycles c JOIN subscriptions s ON s.id = c.subscription_id
     WHERE c.kind = 'free' ORDER BY c.subscription_id, c.n
    """
)


def free_cycles(conn: Connection) -> Iterator[FreeCycle]:
    """Yield each cycle that cost nothing."""
    for row in conn.execute(_FREE):
        yield _free_of(row)


ITEM_AGAINST_INVOICE = check(
    FindingKind.ITEM_AGAINST_INVOICE,
    """
    SELECT t.subscription_id, t.item, t.billed_in
      FROM subscription_items t LEFT JOIN invoices i ON i.id = t.billed_in
     WHERE t.billed_in IS NOT NULL
       AND (i.subscription_id IS DISTINCT FROM t.subscription_id
            OR NOT EXISTS (SELECT FROM invoice_lines l
                            WHERE l.invoice_id = t.billed_in AND l.item = t.item))""",
    "subscription_id, item",
)
