"""What the provider says of refunds and disputes is kept in words that are no provider's.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels: str | None = None
depends_on: str | None = None

# A failure reason may also be the words of a refusal: those stay.
REFUNDS = """
UPDATE refunds SET failure_reason = CASE failure_reason
  WHEN 'lost_or_stolen_card' THEN 'payment_method_lost'
  WHEN 'expired_or_canceled_card' THEN 'payment_method_closed'
  WHEN 'charge_for_pending_refund_disputed' THEN 'charge_disputed'
  WHEN 'merchant_request' THEN 'withdrawn'
  ELSE failure_reason END
 WHERE failure_reason IN ('lost_or_stolen_card', 'expired_or_canceled_card',
                          'charge_for_pending_refund_disputed', 'merchant_request');
"""

# Whether it is an inquiry stands in the state.
DISPUTES = """
ALTER TABLE disputes RENAME COLUMN provider_status TO stage;
UPDATE disputes SET stage = CASE stage
  WHEN 'warning_needs_response' THEN 'needs_response'
  WHEN 'warning_under_review' THEN 'under_review'
  WHEN 'warning_closed' THEN 'closed'
  WHEN 'needs_response' THEN 'needs_response'
  WHEN 'under_review' THEN 'under_review'
  WHEN 'won' THEN 'won'
  WHEN 'lost' THEN 'lost'
  ELSE 'unknown' END;
ALTER TABLE disputes ADD CONSTRAINT disputes_stage CHECK (stage IN
  ('needs_response', 'under_review', 'won', 'lost', 'closed', 'unknown'));
"""


def upgrade() -> None:
    op.execute(REFUNDS)
    op.execute(DISPUTES)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
