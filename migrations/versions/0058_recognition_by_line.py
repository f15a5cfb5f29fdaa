"""Revenue is earned by line, and what goes back of an invoice is written down by line.

What a refund, a lost dispute, a write-off or a credit note takes of a line is a row beside it, with
the parts that were earned, still to be earned, and tax. What was recognised before is of the lines
in proportion: of the only line where there is one, else of what was left of each.

Revision ID: 0058
Revises: 0057
"""

from collections.abc import Iterable, Sequence
from typing import Any

from alembic import op
from sqlalchemy import Connection, Row, text

revision = "0058"
down_revision = "0057"
branch_labels: str | None = None
depends_on: str | None = None

TABLES = """
ALTER TABLE invoice_lines ADD COLUMN earned_at_issue boolean NOT NULL DEFAULT false;
ALTER TABLE revenue_recognitions
  ADD COLUMN line smallint NOT NULL DEFAULT 1,
  DROP CONSTRAINT revenue_recognitions_pkey,
  DROP CONSTRAINT revenue_recognitions_invoice_id_fkey,
  ADD PRIMARY KEY (invoice_id, line, through),
  ADD CONSTRAINT revenue_recognitions_of_line FOREIGN KEY (invoice_id, line)
    REFERENCES invoice_lines (invoice_id, line);
ALTER TABLE revenue_recognitions ALTER COLUMN line DROP DEFAULT;

CREATE TABLE line_parts (
  kind        text NOT NULL CHECK (kind IN ('credit_note', 'refund', 'dispute', 'write_off')),
  source_id   uuid NOT NULL,
  nth         smallint NOT NULL DEFAULT 1 CHECK (nth >= 1),
  invoice_id  uuid NOT NULL,
  line        smallint NOT NULL,
  recognised  bigint NOT NULL CHECK (recognised >= 0),
  deferred    bigint NOT NULL CHECK (deferred >= 0),
  tax         bigint NOT NULL CHECK (tax >= 0),
  note_id     uuid GENERATED ALWAYS AS (CASE WHEN kind = 'credit_note' THEN source_id END) STORED,
  refund_id   uuid GENERATED ALWAYS AS (CASE WHEN kind = 'refund' THEN source_id END) STORED
    CONSTRAINT line_parts_of_refund REFERENCES refunds,
  dispute_id  uuid GENERATED ALWAYS AS (CASE WHEN kind = 'dispute' THEN source_id END) STORED
    CONSTRAINT line_parts_of_dispute REFERENCES disputes,
  PRIMARY KEY (source_id, nth, line),
  CONSTRAINT line_parts_of_line FOREIGN KEY (invoice_id, line)
    REFERENCES invoice_lines (invoice_id, line),
  CONSTRAINT line_parts_of_note FOREIGN KEY (note_id, invoice_id)
    REFERENCES credit_notes (id, invoice_id),
  CONSTRAINT line_parts_of_write_off CHECK (kind <> 'write_off' OR source_id = invoice_id),
  CONSTRAINT line_parts_once CHECK (nth = 1 OR kind IN ('dispute', 'write_off')),
  CONSTRAINT line_parts_take_something CHECK (recognised + deferred + tax > 0)
);
CREATE INDEX line_parts_of_lines ON line_parts (invoice_id, line);

-- Those that stand: the refund didn't fail, the loss or the write-off wasn't taken back.
CREATE VIEW standing_line_parts AS
SELECT x.* FROM line_parts x
 WHERE CASE x.kind
         WHEN 'credit_note' THEN true
         WHEN 'refund' THEN EXISTS (SELECT FROM refunds f
           WHERE f.id = x.source_id AND f.state NOT IN ('failed', 'canceled'))
         WHEN 'dispute' THEN EXISTS (SELECT FROM disputes d
           WHERE d.id = x.source_id AND d.state = 'lost' AND d.times_lost = x.nth
             AND d.lost_recognised + d.lost_deferred + d.lost_tax > 0)
         ELSE EXISTS (SELECT FROM invoices i
           WHERE i.id = x.invoice_id AND i.status = 'uncollectible')
              AND NOT EXISTS (SELECT FROM line_parts y
                WHERE y.source_id = x.source_id AND y.nth > x.nth)
       END;
"""

CHECKS = """
CREATE FUNCTION check_line_parts() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE bad record;
BEGIN
  SELECT l.invoice_id, l.line INTO bad
    FROM (SELECT DISTINCT invoice_id, line FROM added) a
    JOIN public.invoice_lines l ON l.invoice_id = a.invoice_id AND l.line = a.line
   CROSS JOIN LATERAL (
         SELECT coalesce(sum(recognised), 0) AS recognised, coalesce(sum(deferred), 0) AS deferred,
                coalesce(sum(tax), 0) AS tax
           FROM public.standing_line_parts
          WHERE invoice_id = l.invoice_id AND line = l.line) b
   CROSS JOIN LATERAL (
         SELECT coalesce(sum(amount), 0) AS earned FROM public.revenue_recognitions
          WHERE invoice_id = l.invoice_id AND line = l.line) r
   WHERE b.recognised > r.earned OR b.deferred + r.earned > l.amount OR b.tax > l.tax
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'line % of invoice %: more is given back than is left of it', bad.line,
      bad.invoice_id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER within_line AFTER INSERT ON line_parts
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_line_parts();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON line_parts
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON line_parts
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE line_parts ENABLE ALWAYS TRIGGER within_line;
ALTER TABLE line_parts ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE line_parts ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT ON line_parts, standing_line_parts TO billing_app;
GRANT INSERT (kind, source_id, nth, invoice_id, line, recognised, deferred, tax) ON line_parts
  TO billing_app;
"""

# --- what was there before ------------------------------------------------------------------------

Parts = tuple[int, int, int]
"""Earned, still to be earned, and tax."""

# Invoices with several lines of which something was earned, or with something that went back.
INVOICES = text(
    """
    SELECT i.id FROM invoices i
     WHERE i.kind <> 'top_up'
       AND (i.id IN (SELECT invoice_id FROM credit_notes)
            OR i.id IN (SELECT p.invoice_id FROM refunds f JOIN payments p ON p.id = f.payment_id
                         WHERE f.note_id IS NULL AND f.state NOT IN ('failed', 'canceled'))
            OR i.id IN (SELECT p.invoice_id FROM disputes d JOIN payments p ON p.id = d.payment_id
                         WHERE d.state = 'lost')
            OR i.status = 'uncollectible'
            OR i.id IN (SELECT invoice_id FROM invoice_lines WHERE line > 1)
               AND i.id IN (SELECT invoice_id FROM revenue_recognitions))
     ORDER BY i.id
    """
)
LINES = text("SELECT line, amount, tax FROM invoice_lines WHERE invoice_id = :id ORDER BY line")
EARNED = text(
    "SELECT through, amount FROM revenue_recognitions WHERE invoice_id = :id ORDER BY through"
)
WENT_BACK = text(
    """
    SELECT 0 AS place, 'credit_note' AS kind, c.id, 1 AS nth, c.recognised, c.deferred, c.tax,
           c.created_at AS at,
           ARRAY(SELECT n.line FROM credit_note_lines n WHERE n.note_id = c.id) AS lines
      FROM credit_notes c WHERE c.invoice_id = :id
     UNION ALL
    SELECT 1, 'refund', f.id, 1, f.recognised, f.deferred, f.tax, f.created_at, '{}'
      FROM refunds f JOIN payments p ON p.id = f.payment_id
     WHERE p.invoice_id = :id AND f.note_id IS NULL AND f.state NOT IN ('failed', 'canceled')
     UNION ALL
    SELECT 2, 'dispute', d.id, d.times_lost, d.lost_recognised, d.lost_deferred, d.lost_tax,
           d.opened_at, '{}'
      FROM disputes d JOIN payments p ON p.id = d.payment_id
     WHERE p.invoice_id = :id AND d.state = 'lost'
     UNION ALL
    SELECT 3, 'write_off', i.id, nth,
           coalesce(sum(l.amount) FILTER (WHERE a.code = 'bad_debt'), 0),
           coalesce(sum(l.amount) FILTER (WHERE a.code = 'deferred_revenue'), 0),
           coalesce(sum(l.amount) FILTER (WHERE a.code = 'tax_payable'), 0), e.effective_at, '{}'
      FROM invoices i
      JOIN payments p ON p.invoice_id = i.id
     CROSS JOIN generate_series(1, (SELECT count(*)::int FROM payment_transitions t
                                     WHERE t.payment_id = p.id AND t.to_state = 'FAILED')) nth
      JOIN ledger.entries e ON e.source_key = 'write_off:' || i.id || ':' || nth
      JOIN ledger.postings l ON l.entry_id = e.id
      JOIN ledger.accounts a ON a.id = l.account_id
     WHERE i.id = :id AND i.status = 'uncollectible'
       AND NOT EXISTS (SELECT FROM ledger.entries r WHERE r.reverses_entry_id = e.id)
     GROUP BY i.id, nth, e.id
     ORDER BY place, at, id
    """
)
REMOVE_EARNED = text("DELETE FROM revenue_recognitions WHERE invoice_id = :id")
ADD_EARNED = text(
    "INSERT INTO revenue_recognitions (invoice_id, line, through, amount)"
    " VALUES (:id, :line, :through, :amount)"
)
ADD_PARTS = text(
    "INSERT INTO line_parts (kind, source_id, nth, invoice_id, line, recognised, deferred, tax)"
    " VALUES (:kind, :source_id, :nth, :id, :line, :recognised, :deferred, :tax)"
)


def split(amount: int, weights: Sequence[int]) -> list[int]:
    """Split by largest remainder; no part is above its weight, and what is beyond all is left out.

    Of a negative amount the parts are negative.
    """
    whole = sum(weights)
    if amount < 0:
        return [-part for part in split(-amount, weights)]
    steps = min(amount, whole)
    if not steps:
        return [0] * len(weights)
    parts = [steps * weight // whole for weight in weights]
    lost = [steps * weight % whole for weight in weights]
    for index in sorted(range(len(parts)), key=lambda i: -lost[i])[: steps - sum(parts)]:
        parts[index] += 1
    return parts


def move(conn: Connection, invoice_id: Any) -> None:
    """Split what was earned of an invoice, and what went back of it, over its lines."""
    lines = conn.execute(LINES, {"id": invoice_id}).all()
    earned = earned_by_line(conn, invoice_id, lines)
    left = [[got, line.amount - got, line.tax] for line, got in zip(lines, earned, strict=True)]
    for row in conn.execute(WENT_BACK, {"id": invoice_id}).all():
        of_lines = [taken(row, place, left, lines) for place in range(3)]
        for index, line in enumerate(lines):
            recognised, deferred, tax = (of_lines[place][index] for place in range(3))
            for place in range(3):
                left[index][place] -= of_lines[place][index]
            if recognised + deferred + tax:
                values = {"kind": row.kind, "source_id": row.id, "nth": row.nth}
                parts = {"recognised": recognised, "deferred": deferred, "tax": tax}
                at = {"id": invoice_id, "line": line.line}
                conn.execute(ADD_PARTS, values | at | parts)


def taken(
    row: Row[Any], place: int, left: Sequence[Sequence[int]], lines: Iterable[Any]
) -> list[int]:
    """Split one part over what is left of it: first of the lines that a note names."""
    amount = int((row.recognised, row.deferred, row.tax)[place])
    weights = [each[place] for each in left]
    own = [
        weight if line.line in row.lines else 0 for line, weight in zip(lines, weights, strict=True)
    ]
    first = split(amount, own)
    rest = [weight - part for weight, part in zip(weights, first, strict=True)]
    then = split(amount - sum(first), rest)
    return [one + two for one, two in zip(first, then, strict=True)]


def earned_by_line(conn: Connection, invoice_id: Any, lines: Sequence[Row[Any]]) -> list[int]:
    """Split what was earned of an invoice with several lines; return how much of each was."""
    rows = conn.execute(EARNED, {"id": invoice_id}).all()
    if len(lines) == 1:
        return [sum(row.amount for row in rows)]
    earned = [0] * len(lines)
    conn.execute(REMOVE_EARNED, {"id": invoice_id})
    for row in rows:
        left = [line.amount - got for line, got in zip(lines, earned, strict=True)]
        parts = split(row.amount, earned if row.amount < 0 else left)
        earned = [got + part for got, part in zip(earned, parts, strict=True)]
        for line, part in zip(lines, parts, strict=True):
            if part:
                values = {"id": invoice_id, "line": line.line, "through": row.through}
                conn.execute(ADD_EARNED, values | {"amount": part})
    return earned


def upgrade() -> None:
    # Checks of this transaction that are still to come would hold back a change of the table.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute(TABLES)
    op.execute("ALTER TABLE revenue_recognitions DISABLE TRIGGER append_only")
    conn = op.get_bind()
    for invoice_id in conn.execute(INVOICES).scalars().all():
        move(conn, invoice_id)
    # Row triggers of what was moved are still to come, and would hold back a change of the table.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute("ALTER TABLE revenue_recognitions ENABLE ALWAYS TRIGGER append_only")
    op.execute(CHECKS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
