"""A customer who is not at the provider yet gets the call that may have asked for them.

Making a customer had no row of its own. The key followed from the customer's id and the mode, which
stands at the beginning of every other key. An engine that has sent nothing else doesn't tell it: such
a customer is asked for under another key, and may be there twice, once without any payments.

Revision ID: 0017
Revises: 0016
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels: str | None = None
depends_on: str | None = None

CALLS = """
INSERT INTO provider_calls (kind, subject_id, customer_id, provider, n, idempotency_key, request,
                            first_sent_at)
SELECT 'customer', u.id, u.id, u.provider, 1, concat(m.mode, ':', 'customer', ':', u.id),
       jsonb_build_object('metadata',
         CASE WHEN u.engine_id IS NULL THEN '{}'::jsonb
              ELSE jsonb_build_object('customer', u.id, 'engine', u.engine_id) END),
       u.created_at
  FROM customers u
  CROSS JOIN (SELECT split_part(idempotency_key, ':', 1) AS mode FROM provider_calls LIMIT 1) m
 WHERE u.provider_customer_id IS NULL
   AND NOT EXISTS (SELECT FROM provider_calls c WHERE c.kind = 'customer' AND c.subject_id = u.id);
"""


def upgrade() -> None:
    op.execute(CALLS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
