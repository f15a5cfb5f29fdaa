"""What goes back of an invoice that was written off is bounded by its lines, the write-off apart.

A charge that had been given up may be captured all the same, and its dispute lost, before the
write-off is taken back: what the write-off took of a line is then taken by the dispute.

Revision ID: 0062
Revises: 0061
"""

from alembic import op

revision = "0062"
down_revision = "0061"
branch_labels: str | None = None
depends_on: str | None = None

CHECK = """
CREATE OR REPLACE FUNCTION check_line_parts() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE bad record;
BEGIN
  SELECT l.invoice_id, l.line INTO bad
    FROM (SELECT invoice_id, line, bool_or(kind = 'write_off') AS written_off
            FROM added GROUP BY invoice_id, line) a
    JOIN public.invoice_lines l ON l.invoice_id = a.invoice_id AND l.line = a.line
   CROSS JOIN LATERAL (
         SELECT coalesce(sum(recognised), 0) AS recognised, coalesce(sum(deferred), 0) AS deferred,
                coalesce(sum(tax), 0) AS tax
           FROM public.standing_line_parts
          WHERE invoice_id = l.invoice_id AND line = l.line
            AND (kind <> 'write_off' OR a.written_off)) b
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
"""


def upgrade() -> None:
    op.execute(CHECK)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
