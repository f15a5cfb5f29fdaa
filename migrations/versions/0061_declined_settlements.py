"""A captured payment whose settlement is declined is collected again, and its invoice is owed again.

Revision ID: 0061
Revises: 0060
"""

from alembic import op

revision = "0061"
down_revision = "0060"
branch_labels: str | None = None
depends_on: str | None = None

PAYMENTS = """
CREATE OR REPLACE FUNCTION guard_payment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'payment % can''t be deleted', OLD.id USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.id, NEW.invoice_id, NEW.subscription_id, NEW.customer_id, NEW.amount, NEW.currency,
      NEW.capture_method, NEW.created_at)
     IS DISTINCT FROM
     (OLD.id, OLD.invoice_id, OLD.subscription_id, OLD.customer_id, OLD.amount, OLD.currency,
      OLD.capture_method, OLD.created_at) THEN
    RAISE EXCEPTION 'payment %: what it collects can''t change', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
       ('CREATED', 'AUTHORIZED'), ('CREATED', 'FAILED'),
       ('AUTHORIZED', 'CAPTURED'), ('AUTHORIZED', 'FAILED'),
       ('CAPTURED', 'SETTLED'), ('CAPTURED', 'REFUNDED'), ('CAPTURED', 'CREATED'),
       ('SETTLED', 'REFUNDED'),
       ('REFUNDED', 'CAPTURED'), ('REFUNDED', 'SETTLED'),
       ('FAILED', 'CREATED'), ('FAILED', 'CAPTURED')) THEN
    RAISE EXCEPTION 'payment %: % -> % is no legal transition', OLD.id, OLD.state, NEW.state
      USING ERRCODE = 'restrict_violation';
  END IF;
  -- What was settled has its money, and what a cycle was closed with stays.
  IF (OLD.state, NEW.state) = ('CAPTURED', 'CREATED')
     AND (OLD.settled_at IS NOT NULL OR OLD.amount_refunded > 0
          OR EXISTS (SELECT FROM public.invoices i JOIN public.cycles c ON c.id = i.cycle_id
                      WHERE i.id = OLD.invoice_id AND c.state = 'closed')) THEN
    RAISE EXCEPTION 'payment %: what was settled, refunded or closed isn''t collected again', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.attempt_n < OLD.attempt_n OR NEW.amount_refunded < 0 THEN
    RAISE EXCEPTION 'payment %: attempts are counted forward', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
"""

INVOICES = """
CREATE OR REPLACE FUNCTION guard_invoice() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'invoice % can''t be deleted', OLD.number USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.id, NEW.cycle_id, NEW.subscription_id, NEW.customer_id, NEW.number, NEW.currency,
      NEW.net, NEW.tax, NEW.total, NEW.issued_at, NEW.kind, NEW.rules, NEW.facts,
      NEW.facts_digest, NEW.discount, NEW.credit, NEW.change_id)
     IS DISTINCT FROM
     (OLD.id, OLD.cycle_id, OLD.subscription_id, OLD.customer_id, OLD.number, OLD.currency,
      OLD.net, OLD.tax, OLD.total, OLD.issued_at, OLD.kind, OLD.rules, OLD.facts,
      OLD.facts_digest, OLD.discount, OLD.credit, OLD.change_id) THEN
    RAISE EXCEPTION 'invoice %: only its status may change', OLD.number
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (
       ('open', 'paid'), ('open', 'void'), ('open', 'uncollectible'), ('uncollectible', 'open'),
       ('uncollectible', 'paid'), ('void', 'paid'), ('paid', 'open')) THEN
    RAISE EXCEPTION 'invoice %: % -> % is no legal change', OLD.number, OLD.status, NEW.status
      USING ERRCODE = 'restrict_violation';
  END IF;
  -- It is owed again only while its payment collects again, and nothing of it was given back.
  IF (OLD.status, NEW.status) = ('paid', 'open')
     AND (NOT EXISTS (SELECT FROM public.payments p
                       WHERE p.invoice_id = OLD.id AND p.state = 'CREATED')
          OR EXISTS (SELECT FROM public.credit_notes n WHERE n.invoice_id = OLD.id)
          OR EXISTS (SELECT FROM public.credit_grants g
                      WHERE g.invoice_id = OLD.id AND g.source = 'bought')) THEN
    RAISE EXCEPTION 'invoice %: it is paid, or something was given for it', OLD.number
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
"""


INDEX = """
CREATE INDEX payment_transitions_declined ON payment_transitions (payment_id)
  WHERE cause = 'settlement_declined';
"""


def upgrade() -> None:
    op.execute(PAYMENTS)
    op.execute(INVOICES)
    op.execute(INDEX)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
