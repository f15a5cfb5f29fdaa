"""Add-ons and coupons are published beside plans, and a plan says when changes apply.

A version of an add-on never changes once a subscription has the add-on in it or in a later one; until
then a correction is a row of its own, and the last one holds. What a coupon takes off never changes
once somebody redeemed it: a redemption names the digest of what was agreed.

Revision ID: 0047
Revises: 0046
"""

from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels: str | None = None
depends_on: str | None = None

CODE = "^[a-z0-9]+(-[a-z0-9]+)*$"
DIGEST = "^[0-9a-f]{64}$"

# A catalog's codes have 64 characters at most; the first migration allowed 63.
POLICY = """
ALTER TABLE plans
  DROP CONSTRAINT plans_code_check,
  ADD CONSTRAINT plans_code CHECK (code ~ '^[a-z0-9][a-z0-9-]{0,63}$'),
  ADD COLUMN change_up text NOT NULL DEFAULT 'now'
    CONSTRAINT plans_change_up CHECK (change_up IN ('now', 'period_end')),
  ADD COLUMN change_down text NOT NULL DEFAULT 'period_end'
    CONSTRAINT plans_change_down CHECK (change_down IN ('now', 'period_end')),
  ADD COLUMN change_credit text NOT NULL DEFAULT 'next_invoice'
    CONSTRAINT plans_change_credit CHECK (change_credit IN ('next_invoice', 'refund', 'none'));
"""

ADDONS = f"""
CREATE TABLE addons (
  code        text PRIMARY KEY CHECK (code ~ '{CODE}' AND length(code) <= 64 AND code <> 'base'),
  name        text NOT NULL,
  fits        text[] NOT NULL CHECK (cardinality(fits) >= 1),
  retired     date,
  applied_at  timestamptz NOT NULL
);
CREATE TABLE addon_versions (
  addon         text NOT NULL REFERENCES addons,
  effective     date NOT NULL,
  terms         jsonb NOT NULL,
  digest        text NOT NULL CHECK (digest ~ '{DIGEST}'),
  published_at  timestamptz NOT NULL,
  PRIMARY KEY (addon, effective)
);
CREATE TABLE addon_corrections (
  addon         text NOT NULL,
  effective     date NOT NULL,
  n             integer NOT NULL CHECK (n >= 1),
  terms         jsonb,
  digest        text CHECK (digest ~ '{DIGEST}'),
  corrected_at  timestamptz NOT NULL,
  PRIMARY KEY (addon, effective, n),
  FOREIGN KEY (addon, effective) REFERENCES addon_versions (addon, effective),
  CONSTRAINT addon_corrections_with_digest CHECK ((terms IS NULL) = (digest IS NULL))
);
CREATE FUNCTION guard_addon_correction() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF EXISTS (SELECT FROM public.subscription_items
              WHERE addon = NEW.addon AND addon_version >= NEW.effective) THEN
    RAISE EXCEPTION 'the version of % of add-on % is in use and can''t be corrected',
      NEW.effective, NEW.addon USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE INSERT ON addon_corrections
  FOR EACH ROW EXECUTE FUNCTION guard_addon_correction();
ALTER TABLE addon_corrections ENABLE ALWAYS TRIGGER guard;
GRANT SELECT, INSERT ON addons, addon_versions, addon_corrections TO billing_app;
GRANT UPDATE (name, fits, retired, applied_at) ON addons TO billing_app;

ALTER TABLE subscription_items ADD CONSTRAINT subscription_items_addon_version
  FOREIGN KEY (addon, addon_version) REFERENCES addon_versions (addon, effective);
CREATE INDEX subscription_items_addon ON subscription_items (addon, addon_version)
  WHERE addon IS NOT NULL;
"""

# The key of code and digest keeps the terms of what was redeemed: another digest would leave the
# redemptions without a coupon.
COUPONS = f"""
CREATE TABLE coupons (
  code              text PRIMARY KEY CHECK (code ~ '{CODE}' AND length(code) <= 64),
  terms             jsonb NOT NULL,
  digest            text NOT NULL CHECK (digest ~ '{DIGEST}'),
  redeemable_until  date,
  redemptions_max   integer CHECK (redemptions_max >= 1),
  published_at      timestamptz NOT NULL,
  applied_at        timestamptz NOT NULL,
  CONSTRAINT coupons_by_digest UNIQUE (code, digest)
);
CREATE FUNCTION guard_coupon() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF (NEW.code, NEW.published_at) IS DISTINCT FROM (OLD.code, OLD.published_at) THEN
    RAISE EXCEPTION 'coupon % stays what was published', OLD.code
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.terms IS DISTINCT FROM OLD.terms) <> (NEW.digest IS DISTINCT FROM OLD.digest) THEN
    RAISE EXCEPTION 'coupon %: its digest is that of its terms', OLD.code
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE UPDATE ON coupons FOR EACH ROW EXECUTE FUNCTION guard_coupon();
CREATE TRIGGER no_deletion BEFORE DELETE ON coupons
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
ALTER TABLE coupons ENABLE ALWAYS TRIGGER guard;
ALTER TABLE coupons ENABLE ALWAYS TRIGGER no_deletion;
GRANT SELECT, INSERT ON coupons TO billing_app;
GRANT UPDATE (terms, digest, redeemable_until, redemptions_max, applied_at) ON coupons
  TO billing_app;
"""

# The row of the coupon is locked while redemptions are counted, so that two at once can't both be
# the last one.
REDEMPTIONS = """
ALTER TABLE subscriptions ADD CONSTRAINT subscriptions_of_customer UNIQUE (customer_id, id);
CREATE TABLE redemptions (
  id               uuid PRIMARY KEY,
  coupon           text NOT NULL,
  digest           text NOT NULL,
  customer_id      uuid NOT NULL REFERENCES customers,
  subscription_id  uuid,
  at               timestamptz NOT NULL,
  actor            text NOT NULL,
  CONSTRAINT redemptions_of_terms FOREIGN KEY (coupon, digest) REFERENCES coupons (code, digest),
  CONSTRAINT redemptions_of_customer FOREIGN KEY (customer_id, subscription_id)
    REFERENCES subscriptions (customer_id, id),
  CONSTRAINT redemptions_once UNIQUE NULLS NOT DISTINCT (coupon, customer_id, subscription_id)
);
CREATE INDEX redemptions_subscription ON redemptions (subscription_id);
CREATE INDEX redemptions_customer ON redemptions (customer_id) WHERE subscription_id IS NULL;
CREATE FUNCTION guard_redemption() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE most integer;
BEGIN
  SELECT redemptions_max INTO most FROM public.coupons WHERE code = NEW.coupon;
  IF most IS NULL THEN
    RETURN NEW;
  END IF;
  SELECT redemptions_max INTO most FROM public.coupons WHERE code = NEW.coupon
     FOR NO KEY UPDATE;
  IF (SELECT count(*) FROM public.redemptions WHERE coupon = NEW.coupon) >= most THEN
    RAISE EXCEPTION 'coupon % was redeemed % times, which is all', NEW.coupon, most
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE INSERT ON redemptions
  FOR EACH ROW EXECUTE FUNCTION guard_redemption();
ALTER TABLE redemptions ENABLE ALWAYS TRIGGER guard;
GRANT SELECT, INSERT ON redemptions TO billing_app;
"""

APPEND_ONLY = "".join(
    f"""
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only;
"""
    for table in ("addon_versions", "addon_corrections", "redemptions")
)
NO_TRUNCATE = "".join(
    f"""
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER no_truncate;
"""
    for table in ("addons", "addon_versions", "addon_corrections", "coupons", "redemptions")
)


def upgrade() -> None:
    for statements in (POLICY, ADDONS, COUPONS, REDEMPTIONS, APPEND_ONLY, NO_TRUNCATE):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
