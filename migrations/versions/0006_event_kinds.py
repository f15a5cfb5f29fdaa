"""Events have a kind that is no provider's word, and what came of them is a code with facts.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels: str | None = None
depends_on: str | None = None

# What was kept before the kind was: Stripe's types of that day. What is said of events that were
# handled before stays as it was written.
KINDS = """
ALTER TABLE provider_events
  ADD COLUMN kind text,
  ADD COLUMN facts jsonb NOT NULL DEFAULT '{}';
UPDATE provider_events SET kind = CASE type
  WHEN 'payment_intent.succeeded' THEN 'payment_succeeded'
  WHEN 'payment_intent.payment_failed' THEN 'payment_failed'
  WHEN 'payment_intent.canceled' THEN 'payment_canceled'
  WHEN 'payment_intent.amount_capturable_updated' THEN 'payment_authorized'
  WHEN 'charge.refunded' THEN 'charge_refunded'
  WHEN 'refund.created' THEN 'refund_updated'
  WHEN 'refund.updated' THEN 'refund_updated'
  WHEN 'refund.failed' THEN 'refund_updated'
  WHEN 'charge.refund.updated' THEN 'refund_updated'
  WHEN 'charge.dispute.created' THEN 'dispute_opened'
  WHEN 'charge.dispute.updated' THEN 'dispute_updated'
  WHEN 'charge.dispute.funds_withdrawn' THEN 'dispute_updated'
  WHEN 'charge.dispute.funds_reinstated' THEN 'dispute_updated'
  WHEN 'charge.dispute.closed' THEN 'dispute_closed'
  WHEN 'payout.created' THEN 'payout_updated'
  WHEN 'payout.updated' THEN 'payout_updated'
  WHEN 'payout.reconciliation_completed' THEN 'payout_updated'
  WHEN 'payout.paid' THEN 'payout_paid'
  WHEN 'payout.failed' THEN 'payout_failed'
  WHEN 'payout.canceled' THEN 'payout_failed'
  WHEN 'payment_method.attached' THEN 'payment_method_attached'
  WHEN 'payment_method.updated' THEN 'payment_method_updated'
  WHEN 'payment_method.automatically_updated' THEN 'payment_method_updated'
  WHEN 'payment_method.detached' THEN 'payment_method_detached'
  WHEN 'customer.updated' THEN 'customer_updated'
  ELSE 'other' END;
ALTER TABLE provider_events ALTER COLUMN kind SET NOT NULL;
ALTER TABLE provider_events ADD CONSTRAINT provider_events_kind CHECK (kind IN
  ('payment_succeeded', 'payment_failed', 'payment_canceled', 'payment_authorized',
   'charge_refunded', 'refund_updated', 'dispute_opened', 'dispute_updated', 'dispute_closed',
   'payout_updated', 'payout_paid', 'payout_failed', 'payment_method_attached',
   'payment_method_updated', 'payment_method_detached', 'customer_updated', 'other'));
"""


def upgrade() -> None:
    op.execute(KINDS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
