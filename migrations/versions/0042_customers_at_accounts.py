"""A customer may be at several accounts of providers, and a payment may go to another one.

`provider_customers` says where a customer is, under which id, and with which payment method they
are charged there. `customers.provider` names the account that collects where a subscription names
none. A payment that nothing was captured of may be tried at another account, while no call of it
is open.

Revision ID: 0042
Revises: 0041
"""

from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels: str | None = None
depends_on: str | None = None

NAME = "^[a-z][a-z0-9_-]{0,62}$"

# The id of a row is the subject of the call that makes the customer there. Those of before were
# made under the customer's own.
ACCOUNTS = f"""
CREATE TABLE provider_customers (
  id                    uuid PRIMARY KEY,
  customer_id           uuid NOT NULL REFERENCES customers,
  provider              text NOT NULL
    CONSTRAINT provider_customers_provider CHECK (provider ~ '{NAME}'),
  provider_customer_id  text,
  payment_method_id     uuid,
  created_at            timestamptz NOT NULL,
  CONSTRAINT provider_customers_once UNIQUE (customer_id, provider),
  CONSTRAINT provider_customers_there UNIQUE (provider, provider_customer_id)
);
INSERT INTO provider_customers (id, customer_id, provider, provider_customer_id,
                                payment_method_id, created_at)
SELECT id, id, provider, provider_customer_id, default_payment_method_id, created_at
  FROM customers;
ALTER TABLE payment_methods
  ADD CONSTRAINT payment_methods_at_account UNIQUE (customer_id, provider, id),
  ADD CONSTRAINT payment_methods_customer_there FOREIGN KEY (customer_id, provider)
    REFERENCES provider_customers (customer_id, provider);
ALTER TABLE provider_customers
  ADD CONSTRAINT provider_customers_method FOREIGN KEY (customer_id, provider, payment_method_id)
    REFERENCES payment_methods (customer_id, provider, id);
DROP TRIGGER keep_provider ON customers;
ALTER TABLE customers
  DROP COLUMN provider_customer_id,
  DROP COLUMN default_payment_method_id,
  ADD CONSTRAINT customers_at_account FOREIGN KEY (id, provider)
    REFERENCES provider_customers (customer_id, provider) DEFERRABLE INITIALLY DEFERRED;
CREATE TRIGGER keep_provider BEFORE UPDATE OF provider ON provider_customers
  FOR EACH ROW EXECUTE FUNCTION keep_provider();
ALTER TABLE provider_customers ENABLE ALWAYS TRIGGER keep_provider;
GRANT SELECT, INSERT ON provider_customers TO billing_app;
GRANT UPDATE (provider_customer_id, payment_method_id) ON provider_customers TO billing_app;

ALTER TABLE subscriptions
  ADD COLUMN provider text CONSTRAINT subscriptions_provider CHECK (provider ~ '{NAME}'),
  ADD CONSTRAINT subscriptions_customer_there FOREIGN KEY (customer_id, provider)
    REFERENCES provider_customers (customer_id, provider);
"""

# One rule decides where a payment is collected: with a method of its own, where that is; else at
# the account that its subscription names, or else at its customer's.
PAYMENTS = """
ALTER TABLE payments
  ADD CONSTRAINT payments_customer_there FOREIGN KEY (customer_id, provider)
    REFERENCES provider_customers (customer_id, provider);
CREATE OR REPLACE FUNCTION take_provider_of_payments() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  NEW.provider := coalesce(
    (SELECT provider FROM public.payment_methods WHERE id = NEW.payment_method_id),
    (SELECT provider FROM public.subscriptions WHERE id = NEW.subscription_id),
    (SELECT provider FROM public.customers WHERE id = NEW.customer_id));
  RETURN NEW;
END
$$;

DROP TRIGGER keep_provider ON payments;
CREATE FUNCTION guard_account_of_payment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF NEW.provider IS NOT DISTINCT FROM OLD.provider THEN
    RETURN NEW;
  END IF;
  IF OLD.state <> 'CREATED' OR NEW.state <> 'CREATED' OR OLD.captured_at IS NOT NULL
     OR NEW.provider_payment_id IS NOT NULL OR NEW.provider_charge_id IS NOT NULL
     OR EXISTS (SELECT FROM public.provider_calls c
                 WHERE c.subject_id = OLD.id
                   AND (c.finished_at IS NULL OR c.kind = 'charge' AND c.outcome = 'succeeded'))
  THEN
    RAISE EXCEPTION 'payment % stays at account %: a call of it is open, or money was taken there',
      OLD.id, OLD.provider USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard_account BEFORE UPDATE OF provider ON payments
  FOR EACH ROW EXECUTE FUNCTION guard_account_of_payment();
ALTER TABLE payments ENABLE ALWAYS TRIGGER guard_account;
"""

# A call of a payment goes to the payment's account. With the index that allows one open charge a
# payment, no payment is tried at two accounts at once.
CALLS = """
ALTER TABLE provider_calls
  DROP CONSTRAINT provider_calls_kind_check,
  ADD CONSTRAINT provider_calls_kind CHECK (kind IN
    ('charge', 'capture', 'void', 'cancel', 'refund', 'customer', 'payment_method'));
CREATE FUNCTION refuse_call_elsewhere() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF EXISTS (SELECT FROM public.payments p
              WHERE p.id = NEW.subject_id AND p.provider <> NEW.provider) THEN
    RAISE EXCEPTION 'call %: its payment is at another account', NEW.idempotency_key
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER at_account BEFORE INSERT ON provider_calls
  FOR EACH ROW
  WHEN (NEW.finished_at IS NULL AND NEW.kind IN ('charge', 'capture', 'void', 'cancel'))
  EXECUTE FUNCTION refuse_call_elsewhere();
ALTER TABLE provider_calls ENABLE ALWAYS TRIGGER at_account;
"""


def upgrade() -> None:
    op.execute(ACCOUNTS)
    op.execute(PAYMENTS)
    op.execute(CALLS)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
