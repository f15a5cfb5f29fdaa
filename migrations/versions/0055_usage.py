"""Usage: events that meters count, their identity, and the totals of each period.

An event's identity, the event and what it adds to a total are one transaction. Events lie by the
day of their instant, ids by the day on which they were received, so that old days can be taken out
whole. What a day that was taken out had added to a total is kept in `usage_sealed`, so each total
is the sum of that and of the events that are kept.

The application makes days ahead through a function: it may make tables of no other kind. Only the
owner takes days out.

Revision ID: 0055
Revises: 0054
"""

from alembic import op

revision = "0055"
down_revision = "0054"
branch_labels: str | None = None
depends_on: str | None = None

EVENTS = """
CREATE TABLE usage_ids (
  at           timestamptz NOT NULL,
  payload      bigint NOT NULL,
  received_on  date NOT NULL,
  id           uuid NOT NULL,
  PRIMARY KEY (id, received_on)
) PARTITION BY RANGE (received_on);
CREATE TABLE usage_ids_other PARTITION OF usage_ids DEFAULT;
GRANT SELECT, INSERT ON usage_ids TO billing_app;

CREATE TABLE usage_events (
  at               timestamptz NOT NULL,
  received_at      timestamptz NOT NULL,
  payload          bigint NOT NULL,
  n                integer NOT NULL CHECK (n >= 0),
  segment          smallint NOT NULL CHECK (segment >= 0),
  id               uuid NOT NULL,
  subscription_id  uuid NOT NULL,
  meter            text NOT NULL,
  value            numeric CHECK (abs(value) < 1e18 AND scale(value) <= 12),
  key              uuid,
  PRIMARY KEY (id, at, meter)
) PARTITION BY RANGE (at);
CREATE TABLE usage_events_other PARTITION OF usage_events DEFAULT;
GRANT SELECT, INSERT ON usage_events TO billing_app;
"""

TOTALS = """
CREATE TABLE usage_totals (
  subscription_id  uuid NOT NULL REFERENCES subscriptions,
  meter            text NOT NULL,
  n                integer NOT NULL CHECK (n >= 0),
  segment          smallint NOT NULL CHECK (segment >= 0),
  events           bigint NOT NULL CHECK (events > 0),
  id_sum           numeric NOT NULL
    CHECK (id_sum >= 0 AND id_sum < 2::numeric ^ 128 AND scale(id_sum) = 0),
  sum              numeric,
  max              numeric,
  last_at          timestamptz,
  last_id          uuid,
  last             numeric,
  moment           numeric,
  keys             bigint,
  PRIMARY KEY (subscription_id, meter, n, segment),
  CONSTRAINT usage_totals_last_has_an_instant
    CHECK (num_nonnulls(last, last_at, last_id) IN (0, 3))
) WITH (fillfactor = 70);
GRANT SELECT, INSERT ON usage_totals TO billing_app;
GRANT UPDATE (events, id_sum, sum, max, last_at, last_id, last, moment, keys)
  ON usage_totals TO billing_app;

CREATE TABLE usage_keys (
  subscription_id  uuid NOT NULL,
  meter            text NOT NULL,
  n                integer NOT NULL,
  segment          smallint NOT NULL,
  key              uuid NOT NULL,
  PRIMARY KEY (subscription_id, meter, n, segment, key)
);
GRANT SELECT, INSERT ON usage_keys TO billing_app;

CREATE TABLE usage_counts (
  received_on  date NOT NULL,
  outcome      text NOT NULL CHECK (outcome IN (
    'accepted', 'counted', 'late', 'repeated', 'conflicting',
    'unreadable', 'no_id', 'bad_time', 'in_future', 'too_old', 'unknown_event',
    'unknown_subscription', 'ambiguous', 'not_sold', 'filtered', 'bad_value', 'not_started',
    'paused', 'unpaid', 'canceled')),
  slot         smallint NOT NULL CHECK (slot BETWEEN 0 AND 15),
  events       bigint NOT NULL CHECK (events > 0),
  PRIMARY KEY (received_on, outcome, slot)
) WITH (fillfactor = 50);
GRANT SELECT, INSERT ON usage_counts TO billing_app;
GRANT UPDATE (events) ON usage_counts TO billing_app;
"""

SEALED = """
CREATE TABLE usage_days (
  day        date PRIMARY KEY,
  events     bigint NOT NULL CHECK (events >= 0),
  counted    bigint NOT NULL,
  id_sum     numeric NOT NULL
    CHECK (id_sum >= 0 AND id_sum < 2::numeric ^ 128 AND scale(id_sum) = 0),
  sealed_at  timestamptz NOT NULL,
  actor      text NOT NULL,
  CONSTRAINT usage_days_each_event_counts CHECK (counted >= events)
);
GRANT SELECT ON usage_days TO billing_app;

CREATE TABLE usage_sealed (
  subscription_id  uuid NOT NULL,
  meter            text NOT NULL,
  n                integer NOT NULL,
  segment          smallint NOT NULL,
  events           bigint NOT NULL CHECK (events > 0),
  id_sum           numeric NOT NULL
    CHECK (id_sum >= 0 AND id_sum < 2::numeric ^ 128 AND scale(id_sum) = 0),
  sum              numeric,
  max              numeric,
  last_at          timestamptz,
  last_id          uuid,
  last             numeric,
  moment           numeric,
  PRIMARY KEY (subscription_id, meter, n, segment),
  CONSTRAINT usage_sealed_of_a_total FOREIGN KEY (subscription_id, meter, n, segment)
    REFERENCES usage_totals,
  CONSTRAINT usage_sealed_last_has_an_instant
    CHECK (num_nonnulls(last, last_at, last_id) IN (0, 3))
);
GRANT SELECT ON usage_sealed TO billing_app;
"""

CLOSINGS = """
CREATE TABLE usage_closings (
  subscription_id  uuid NOT NULL REFERENCES subscriptions,
  meter            text NOT NULL,
  n                integer NOT NULL CHECK (n >= 0),
  segment          smallint NOT NULL CHECK (segment >= 0),
  revision         integer NOT NULL CHECK (revision >= 1),
  quantity         numeric NOT NULL,
  events           bigint NOT NULL CHECK (events >= 0),
  id_sum           numeric NOT NULL
    CHECK (id_sum >= 0 AND id_sum < 2::numeric ^ 128 AND scale(id_sum) = 0),
  invoice_id       uuid REFERENCES invoices,
  at               timestamptz NOT NULL,
  follows          integer
    GENERATED ALWAYS AS (CASE WHEN revision > 1 THEN revision - 1 END) STORED,
  PRIMARY KEY (subscription_id, meter, n, segment, revision),
  CONSTRAINT usage_closings_follow_without_gap
    FOREIGN KEY (subscription_id, meter, n, segment, follows) REFERENCES usage_closings
);
CREATE INDEX usage_closings_invoice ON usage_closings (invoice_id) WHERE invoice_id IS NOT NULL;
GRANT SELECT ON usage_closings TO billing_app;
GRANT INSERT (subscription_id, meter, n, segment, revision, quantity, events, id_sum, invoice_id,
              at) ON usage_closings TO billing_app;
"""

GUARDS = """
CREATE FUNCTION guard_usage_total() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE'
     OR (NEW.subscription_id, NEW.meter, NEW.n, NEW.segment)
        IS DISTINCT FROM (OLD.subscription_id, OLD.meter, OLD.n, OLD.segment)
     OR NEW.events <= OLD.events OR NEW.max < OLD.max OR NEW.keys < OLD.keys
     OR (NEW.last_at, NEW.last_id) < (OLD.last_at, OLD.last_id)
     OR num_nulls(NEW.sum, NEW.max, NEW.last, NEW.moment, NEW.keys)
        > num_nulls(OLD.sum, OLD.max, OLD.last, OLD.moment, OLD.keys) THEN
    RAISE EXCEPTION 'usage of subscription %, meter %, period %: events are only added',
      OLD.subscription_id, OLD.meter, OLD.n USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;

CREATE FUNCTION guard_usage_count() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE'
     OR (NEW.received_on, NEW.outcome, NEW.slot)
        IS DISTINCT FROM (OLD.received_on, OLD.outcome, OLD.slot)
     OR NEW.events <= OLD.events THEN
    RAISE EXCEPTION 'what was received on % is only added to', OLD.received_on
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;

-- A day that was sealed takes no more events. One that has no table of its own is emptied instead.
CREATE FUNCTION guard_usage_event() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    RAISE EXCEPTION 'usage_events is append-only: UPDATE refused'
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF TG_OP = 'INSERT' AND EXISTS (SELECT FROM public.usage_days d
                                   WHERE d.day >= (NEW.at AT TIME ZONE 'UTC')::date) THEN
    RAISE EXCEPTION 'event %: its day is sealed', NEW.id USING ERRCODE = 'restrict_violation';
  END IF;
  IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM public.usage_days d
                                       WHERE d.day = (OLD.at AT TIME ZONE 'UTC')::date) THEN
    RAISE EXCEPTION 'event % can''t be deleted: its day isn''t sealed', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN CASE TG_OP WHEN 'INSERT' THEN NEW ELSE OLD END;
END
$$;

CREATE FUNCTION guard_usage_sealed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE'
     OR (NEW.subscription_id, NEW.meter, NEW.n, NEW.segment)
        IS DISTINCT FROM (OLD.subscription_id, OLD.meter, OLD.n, OLD.segment)
     OR NEW.events <= OLD.events THEN
    RAISE EXCEPTION 'what was sealed of subscription %, meter %, period % is only added to',
      OLD.subscription_id, OLD.meter, OLD.n USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END
$$;

CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON usage_totals
  FOR EACH ROW EXECUTE FUNCTION guard_usage_total();
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON usage_counts
  FOR EACH ROW EXECUTE FUNCTION guard_usage_count();
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON usage_sealed
  FOR EACH ROW EXECUTE FUNCTION guard_usage_sealed();
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON usage_events
  FOR EACH ROW EXECUTE FUNCTION guard_usage_event();
CREATE TRIGGER guard_days BEFORE INSERT ON usage_events_other
  FOR EACH ROW EXECUTE FUNCTION guard_usage_event();
CREATE TRIGGER append_only BEFORE UPDATE ON usage_ids
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

APPEND_ONLY = ("usage_keys", "usage_days", "usage_closings")
GUARDED = ("usage_totals", "usage_counts", "usage_sealed", "usage_events")

# One day of ids and one of events, each a table. Without the right to make tables the application
# has this. A day with events among the others stays there.
DAYS = """
CREATE FUNCTION make_usage_days(first_day date, last_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  made_day date;
  made integer := 0;
  events text;
  ids text;
BEGIN
  IF last_day - first_day NOT BETWEEN 0 AND 61 THEN
    RAISE EXCEPTION 'from % to %: make 1 to 62 days at once', first_day, last_day
      USING ERRCODE = 'check_violation';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('billing usage days'));
  FOR made_day IN SELECT first_day + i FROM generate_series(0, last_day - first_day) AS i LOOP
    events := 'usage_events_' || to_char(made_day, 'YYYYMMDD');
    ids := 'usage_ids_' || to_char(made_day, 'YYYYMMDD');
    IF to_regclass('public.' || events) IS NULL
       AND NOT EXISTS (SELECT FROM public.usage_days d WHERE d.day >= made_day)
       AND NOT EXISTS (SELECT FROM public.usage_events_other o
                        WHERE o.at >= made_day::timestamp AT TIME ZONE 'UTC'
                          AND o.at < (made_day + 1)::timestamp AT TIME ZONE 'UTC') THEN
      EXECUTE format('CREATE TABLE public.%I (LIKE public.usage_events INCLUDING ALL)', events);
      EXECUTE format('ALTER TABLE public.usage_events ATTACH PARTITION public.%I'
                     ' FOR VALUES FROM (%L) TO (%L)', events,
                     made_day::timestamp AT TIME ZONE 'UTC',
                     (made_day + 1)::timestamp AT TIME ZONE 'UTC');
      made := made + 1;
    END IF;
    IF to_regclass('public.' || ids) IS NULL
       AND NOT EXISTS (SELECT FROM public.usage_ids_other o WHERE o.received_on = made_day) THEN
      EXECUTE format('CREATE TABLE public.%I (LIKE public.usage_ids INCLUDING ALL)', ids);
      EXECUTE format('ALTER TABLE public.usage_ids ATTACH PARTITION public.%I'
                     ' FOR VALUES FROM (%L) TO (%L)', ids, made_day, made_day + 1);
      made := made + 1;
    END IF;
  END LOOP;
  RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION make_usage_days FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_usage_days TO billing_app;
"""


def upgrade() -> None:
    for part in (EVENTS, TOTALS, SEALED, CLOSINGS, GUARDS, DAYS):
        op.execute(part)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
    for table in (*APPEND_ONLY, *GUARDED, "usage_ids"):
        op.execute(
            f"CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER no_truncate")
    for table in (*APPEND_ONLY, "usage_ids"):
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")
    for table in GUARDED:
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER guard")
    op.execute("ALTER TABLE usage_events_other ENABLE ALWAYS TRIGGER guard_days")


def downgrade() -> None:
    raise NotImplementedError("billing records aren't dropped; restore a backup instead")
