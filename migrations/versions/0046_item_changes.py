"""Changes of what a subscription holds are dated rows: its plan, and the quantities of its items.

A change has an id of its own, so that asking twice makes one. The first change of a subscription is
preceded by a row with what it held until then: what holds at an instant follows from the rows alone.
A change that doesn't hold yet can be withdrawn once, by another row.

Revision ID: 0046
Revises: 0045
"""

from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels: str | None = None
depends_on: str | None = None

CHANGES = """
ALTER TABLE subscription_changes
  ADD COLUMN change_id uuid,
  ADD COLUMN applies text,
  ADD COLUMN withdraws uuid,
  ADD COLUMN detail jsonb NOT NULL DEFAULT '{}',
  DROP CONSTRAINT subscription_changes_kind_check,
  ADD CONSTRAINT subscription_changes_kind_check CHECK (kind IN (
    'pause', 'resume', 'cancel', 'keep', 'end', 'reanchor', 'unpaid', 'paid',
    'held', 'quantity', 'plan', 'withdraw')),
  ADD CONSTRAINT subscription_changes_by_id UNIQUE (change_id),
  ADD CONSTRAINT subscription_changes_of_subscription UNIQUE (subscription_id, change_id),
  ADD CONSTRAINT subscription_changes_withdrawn_once UNIQUE (withdraws),
  ADD CONSTRAINT subscription_changes_withdraws FOREIGN KEY (subscription_id, withdraws)
    REFERENCES subscription_changes (subscription_id, change_id),
  ADD CONSTRAINT subscription_changes_have_ids
    CHECK ((kind IN ('quantity', 'plan', 'withdraw')) = (change_id IS NOT NULL)),
  ADD CONSTRAINT subscription_changes_apply
    CHECK (CASE WHEN kind IN ('quantity', 'plan') THEN applies IN ('now', 'period_end')
                ELSE applies IS NULL END),
  ADD CONSTRAINT subscription_changes_withdraw_one
    CHECK ((kind = 'withdraw') = (withdraws IS NOT NULL));
CREATE UNIQUE INDEX subscription_changes_held_once ON subscription_changes (subscription_id)
  WHERE kind = 'held';
GRANT INSERT (change_id, applies, withdraws, detail) ON subscription_changes TO billing_app;

CREATE FUNCTION check_withdrawal() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM public.subscription_changes c
                  WHERE c.change_id = NEW.withdraws AND c.kind IN ('quantity', 'plan')
                    AND c.applies = 'period_end' AND c.holds_from > NEW.asked_at) THEN
    RAISE EXCEPTION 'change % holds already: it can''t be withdrawn', NEW.withdraws
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER check_withdrawal BEFORE INSERT ON subscription_changes
  FOR EACH ROW WHEN (NEW.kind = 'withdraw') EXECUTE FUNCTION check_withdrawal();
ALTER TABLE subscription_changes ENABLE ALWAYS TRIGGER check_withdrawal;
"""

# An invoice of a change names it; a change has one invoice at most.
INVOICES = """
ALTER TABLE invoices
  ADD COLUMN change_id uuid CONSTRAINT invoices_of_change REFERENCES subscription_changes (change_id),
  ADD CONSTRAINT invoices_one_a_change UNIQUE (change_id),
  ADD CONSTRAINT invoices_name_their_change CHECK ((kind = 'change') = (change_id IS NOT NULL));

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
       ('uncollectible', 'paid'), ('void', 'paid')) THEN
    RAISE EXCEPTION 'invoice %: % -> % is no legal change', OLD.number, OLD.status, NEW.status
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
"""

# The columns that the application may change; `subscriptions` lists them one by one where it does.
PLAN = "GRANT UPDATE (plan, quantity) ON subscriptions TO billing_app;"


def upgrade() -> None:
    op.execute(CHANGES)
    op.execute(INVOICES)
    op.execute(PLAN)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
