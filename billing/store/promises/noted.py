"""Promise 9: what credit notes give back was charged, and the journal has it."""
# ruff: noqa: S608  statements are put together from constants of this file

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.ledger.keys import EntryKind
from billing.rules.promises import FindingKind
from billing.store.promises.check import check
from billing.store.rows import reader

_NOTE_OF_INVOICE = check(
    FindingKind.NOTE_OF_INVOICE,
    """
    SELECT c.number, i.number AS invoice, i.status
      FROM credit_notes c JOIN invoices i ON i.id = c.invoice_id
     WHERE i.status <> 'paid'
        OR (c.subscription_id, c.customer_id, c.currency)
           IS DISTINCT FROM (i.subscription_id, i.customer_id, i.currency)
        OR c.series <> regexp_replace(i.number, '-[^-]*$', '')
        OR c.n > 1 AND NOT EXISTS (SELECT FROM credit_notes b
                                    WHERE b.series = c.series AND b.n = c.n - 1)""",
    "number",
)

_NOTE_LINES = check(
    FindingKind.NOTE_LINES,
    """
    SELECT c.number, c.currency, c.net, c.tax, c.discount, coalesce(l.net, 0) AS net_of_lines,
           coalesce(l.tax, 0) AS tax_of_lines, coalesce(l.discount, 0) AS discount_of_lines
      FROM credit_notes c
      LEFT JOIN (SELECT note_id, sum(net) AS net, sum(tax) AS tax, sum(discount) AS discount
                   FROM credit_note_lines GROUP BY note_id) l ON l.note_id = c.id
     WHERE (c.net, c.tax, c.discount) IS DISTINCT FROM (l.net, l.tax, l.discount)
        OR c.recognised + c.deferred <> c.net OR c.total <= 0""",
    "number",
)

_NOTES_WITHIN_LINE = check(
    FindingKind.NOTES_WITHIN_LINE,
    """
    SELECT i.number, l.line, i.currency, l.gross, sum(n.gross) AS given_back
      FROM credit_note_lines n
      JOIN invoice_lines l ON l.invoice_id = n.invoice_id AND l.line = n.line
      JOIN invoices i ON i.id = l.invoice_id
     GROUP BY i.number, i.currency, l.invoice_id, l.line
    HAVING sum(n.gross) > l.gross OR sum(n.discount) > l.discount
        OR sum(n.net) > l.amount OR sum(n.tax) > l.tax
        OR (sum(n.gross), sum(n.discount), sum(n.net), sum(n.tax)) IS DISTINCT FROM
           (max(n.all_gross), max(n.all_discount), max(n.all_net), max(n.all_tax))
        OR count(*) <> max(n.n)""",
    "number, line",
)

# What a cardholder's bank took beyond it has its break.
_GIVEN_BACK = check(
    FindingKind.GIVEN_BACK_ABOVE,
    """
    SELECT i.number, i.currency, i.total, c.noted, coalesce(p.refunded, 0) AS refunded,
           coalesce(p.lost, 0) AS lost
      FROM (SELECT invoice_id, sum(total) AS noted,
                   coalesce(sum(total) FILTER (WHERE destination = 'outside'), 0) AS outside
              FROM credit_notes GROUP BY invoice_id) c
      JOIN invoices i ON i.id = c.invoice_id
      LEFT JOIN LATERAL (
           SELECT p.id, p.amount_captured, p.amount_refunded,
                  (SELECT coalesce(sum(f.amount), 0) FROM refunds f
                    WHERE f.payment_id = p.id AND f.note_id IS NULL
                      AND f.state NOT IN ('failed', 'canceled')) AS refunded,
                  (SELECT coalesce(sum(d.lost_recognised + d.lost_deferred + d.lost_tax), 0)
                     FROM disputes d WHERE d.payment_id = p.id AND d.state = 'lost') AS lost
             FROM payments p WHERE p.invoice_id = i.id) p ON true
     WHERE c.noted + coalesce(p.refunded, 0) > i.total
        OR c.outside + coalesce(p.amount_refunded, 0) > coalesce(p.amount_captured, 0)
           AND c.outside > 0
        OR c.noted + p.refunded + p.lost > i.total
           AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = p.id)""",
    "number",
)

_NOTE_GIVEN = check(
    FindingKind.NOTE_GIVEN,
    """
    SELECT c.number, c.destination, c.currency, c.total, r.state AS refund, r.amount AS refunded,
           g.amount AS granted
      FROM credit_notes c
      LEFT JOIN refunds r ON r.note_id = c.id
      LEFT JOIN credit_grants g ON g.note_id = c.id
      LEFT JOIN payments p ON p.id = r.payment_id
     WHERE (c.destination = 'refund') <> (r.id IS NOT NULL)
        OR (g.id IS NOT NULL) IS DISTINCT FROM
           CASE c.destination WHEN 'credit' THEN true WHEN 'outside' THEN false
                ELSE r.state IN ('failed', 'canceled') END
        OR r.amount <> c.total OR r.currency <> c.currency OR r.customer_id <> c.customer_id
        OR r.recognised + r.deferred + r.tax <> 0 OR r.created_at <> c.created_at
        OR p.invoice_id IS DISTINCT FROM CASE WHEN r.id IS NOT NULL THEN c.invoice_id END
        OR g.amount <> c.total OR g.currency <> c.currency OR g.customer_id <> c.customer_id
        OR g.source <> 'credit_note'
        OR g.id IS NOT NULL AND g.invoice_id IS DISTINCT FROM c.invoice_id""",
    "number",
)

_NOTE_BOOKED = check(
    FindingKind.NOTE_ENTRY,
    f"""
    SELECT coalesce(c.number, j.note) AS number, coalesce(c.currency, j.currency) AS currency,
           coalesce(c.total, 0) AS total, coalesce(j.given, 0) AS booked
      FROM (SELECT id::text AS note, number, currency, recognised, deferred, tax, total,
                   destination, customer_id, created_at FROM credit_notes) c
      FULL JOIN (
           SELECT split_part(e.source_key, ':', 2) AS note, min(l.currency) AS currency,
                  min(e.effective_at) AS at, min(e.customer_id::text) AS customer,
                  count(DISTINCT e.id) AS entries,
                  coalesce(sum(l.amount) FILTER (WHERE a.code = 'credits_contra'), 0) AS recognised,
                  coalesce(sum(l.amount) FILTER (WHERE a.code = 'deferred_revenue'), 0) AS deferred,
                  coalesce(sum(l.amount) FILTER (WHERE a.code = 'tax_payable'), 0) AS tax,
                  -sum(l.amount) FILTER (WHERE l.amount < 0) AS given,
                  min(a.code) FILTER (WHERE l.amount < 0) AS to_account
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id
            WHERE e.kind = '{EntryKind.CREDIT_NOTE}'
            GROUP BY 1) j
        ON j.note = c.note
     WHERE c.note IS NULL OR j.note IS NULL OR j.entries <> 1 OR j.currency <> c.currency
        OR (j.recognised, j.deferred, j.tax, j.given) <>
           (c.recognised, c.deferred, c.tax, c.total)
        OR j.to_account <> CASE c.destination WHEN 'credit' THEN 'customer_credit'
                                WHEN 'refund' THEN 'refund_payable' ELSE 'bank' END
        OR j.customer IS DISTINCT FROM c.customer_id::text OR j.at <> c.created_at""",
    "number",
)

NOTED: Final = (
    _NOTE_OF_INVOICE,
    _NOTE_LINES,
    _NOTES_WITHIN_LINE,
    _GIVEN_BACK,
    _NOTE_GIVEN,
    _NOTE_BOOKED,
)


@dataclass(frozen=True, slots=True)
class LineOfNote:
    """A line of a note, with the facts of its invoice; `all_gross` is of all notes so far.

    `taxes` are those of the note: number, base and amount of each.
    """

    invoice_id: UUID
    number: str
    line: int
    gross: int
    discount: int
    net: int
    tax: int
    all_gross: int
    facts: str
    taxes: Sequence[Sequence[int]] | None


_line_of = reader(LineOfNote)
_LINES: Final = text(
    """
    SELECT l.invoice_id, c.number, l.line, l.gross, l.discount, l.net, l.tax, l.all_gross, i.facts,
           (SELECT jsonb_agg(jsonb_build_array(t.n, t.base, t.amount) ORDER BY t.n)
              FROM credit_note_taxes t WHERE t.note_id = c.id) AS taxes
      FROM credit_note_lines l
      JOIN credit_notes c ON c.id = l.note_id
      JOIN invoices i ON i.id = l.invoice_id
     WHERE i.facts IS NOT NULL
     ORDER BY l.invoice_id, l.line, l.n
    """
)


def lines_with_facts(conn: Connection, batch: int) -> Iterator[LineOfNote]:
    """Yield the lines of notes whose invoices have facts, by invoice, through a cursor."""
    options = {"stream_results": True, "yield_per": batch}
    with conn.execute(_LINES, execution_options=options) as rows:
        for row in rows:
            yield _line_of(row)
