"""The queries that run all day, planned over 50,000 subscriptions: by index, never by a scan.

A partial index that no longer matches its query costs nothing in a test with ten rows and stops
billing with a million, so the planner is asked.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, Executable
from sqlalchemy.sql.elements import ClauseElement

from billing.embedded.servers import EmbeddedPostgres
from billing.rules.reconciliation import TieOutReason
from billing.store import due_work, fences
from billing.store.engine import make_engine
from billing.store.payments import (
    attempts,
    debts,
    payment_steps,
    recognition,
    refunds,
)
from billing.store.settlement import (
    batch_breaks,
    charge_list,
    matching,
    missing,
    rows,
    runs,
    tie_out,
    windows,
)
from billing.store.subscriptions import cycles, subscriptions
from tests.conftest import Admin

NOW = datetime(2026, 3, 1, tzinfo=UTC)
AN_ID = UUID("018f0000-0000-7000-8000-000000000001")

# One renewal in 100 is due and one payment in 400, one in 2,000 is unconfirmed, one in 300 open.
SEED = """
SET LOCAL session_replication_role = replica;
SET LOCAL synchronous_commit = off;
CREATE TEMP TABLE ids AS
SELECT g, ('018f0000-0000-7000-8000-' || lpad(to_hex(g), 12, '0'))::uuid AS id
  FROM generate_series(1, 50000) g;
INSERT INTO plans (code, product, name, applied_at) VALUES ('p', 'P', 'P', now());
INSERT INTO plan_versions (plan, effective, terms, digest, published_at)
VALUES ('p', '2026-01-01', '{}', repeat('0', 64), now());
INSERT INTO provider_fences (provider, state, since, checked_database, written_by)
VALUES ('stripe', 'open', now(), this_database(), this_transaction());
INSERT INTO customers (id, provider, name, created_at)
SELECT id, 'stripe', 'C', now() FROM ids WHERE g <= 1000;
INSERT INTO provider_customers (id, customer_id, provider, created_at)
SELECT id, id, 'stripe', now() FROM ids WHERE g <= 1000;
INSERT INTO subscriptions (id, customer_id, plan, plan_version, currency, quantity, invoice_prefix,
                           status, anchor_local, zone, every, next_n, renews_at, created_at,
                           parked_at, parked_error, parked_reason)
SELECT id, id, 'p', '2026-01-01', 'USD', 1, 'P' || g, 'active', '2026-01-01', 'UTC', '1 month', 1,
       CASE WHEN g % 100 = 0 THEN '2026-03-01' ELSE timestamptz '2026-03-02' + g * interval '10 s'
       END, now(), p, p::text, p::text
  FROM ids, LATERAL (SELECT CASE WHEN g % 1000 = 1 THEN now() END AS p) parked;
INSERT INTO cycles (id, subscription_id, n, kind, period_start, period_end, plan, plan_version,
                    opened_at, state, closed_at, digest)
SELECT id, id, 0, 'regular', '2026-02-01', '2026-03-01', 'p', '2026-01-01', now(),
       CASE WHEN g % 300 = 0 THEN 'opened' ELSE 'closed' END,
       CASE WHEN g % 300 <> 0 THEN now() END, CASE WHEN g % 300 <> 0 THEN repeat('0', 64) END
  FROM ids;
INSERT INTO invoices (id, cycle_id, subscription_id, customer_id, number, currency, net, tax, total,
                      status, issued_at, resolved_at, recognise_at)
SELECT id, id, id, id, 'N' || g, 'USD', 100, 0, 100, 'paid', now(), now(),
       CASE WHEN g % 300 = 0 THEN timestamptz '2026-03-01' WHEN g % 3 = 0 THEN '2026-04-01' END
  FROM ids;
INSERT INTO invoice_lines (invoice_id, line, description, quantity, unit_amount, amount)
SELECT id, 1, 'P', 1, 100, 100 FROM ids;
INSERT INTO payments (id, invoice_id, subscription_id, customer_id, amount, currency, state,
                      amount_captured, next_attempt_at, next_attempt_kind, dispatch_after,
                      captured_at, confirmed_at, settled_at, created_at, updated_at,
                      attempt_n, amount_refunded, provider)
SELECT id, id, id, id, 100, 'USD', CASE WHEN due THEN 'CREATED' ELSE 'CAPTURED' END,
       CASE WHEN due THEN 0 ELSE 100 END, CASE WHEN due THEN timestamptz '2026-02-28' END,
       CASE WHEN due THEN 'ladder' END, '1970-01-01',
       CASE WHEN NOT due THEN timestamptz '2026-02-01' END,
       CASE WHEN NOT due AND g % 2000 <> 3 THEN now() END,
       CASE WHEN NOT due AND g % 2000 <> 3 THEN now() END, now(), now(), 1,
       CASE WHEN NOT due AND g % 10 = 0 THEN 1 ELSE 0 END, 'stripe'
  FROM ids, LATERAL (SELECT g % 400 = 7 AS due) d;
INSERT INTO attempts (payment_id, customer_id, n, kind, payment_method_id, rung, finished_at,
                      outcome)
SELECT id, id, 1, 'first', id, 0,
       CASE WHEN g % 2000 <> 0 THEN now() END,
       CASE WHEN g % 2000 = 0 THEN NULL WHEN g % 400 = 7 THEN 'declined' ELSE 'succeeded' END
  FROM ids;
INSERT INTO provider_calls (subject_id, kind, n, customer_id, provider, idempotency_key, request,
                            first_sent_at, finished_at, outcome)
SELECT payment_id, 'charge', 1, payment_id, 'stripe', payment_id, '{}', '2026-02-01', finished_at,
       outcome
  FROM attempts;
INSERT INTO refunds (id, payment_id, amount, currency, state, recognised, deferred, tax, reason,
                     requested_by, next_attempt_at, dispatch_after, created_at,
                     finished_at, provider_refund_id, settled_at)
SELECT id, id, 1, 'USD', CASE WHEN open THEN 'requested' ELSE 'succeeded' END, 0, 1, 0, 'R', 'A',
       CASE WHEN open THEN timestamptz '2026-02-28' END, '1970-01-01', now(),
       CASE WHEN NOT open THEN now() END, 're_' || g,
       CASE WHEN NOT open AND g % 1000 <> 10 THEN now() END
  FROM ids, LATERAL (SELECT g % 400 = 0 AS open) o
 WHERE g % 10 = 0;
INSERT INTO provider_calls (kind, subject_id, customer_id, provider, n, idempotency_key, request,
                            first_sent_at, finished_at, outcome)
SELECT 'refund', id, id, 'stripe', 1, 'r' || g, '{}', '2026-02-01',
       CASE WHEN g % 400 <> 0 THEN now() END, CASE WHEN g % 400 <> 0 THEN 'succeeded' END
  FROM ids WHERE g % 10 = 0;
INSERT INTO reconciliation_runs (id, provider, source, reference, window_from, window_to, state,
                                 started_at)
SELECT id, 'stripe', 'provider', 'r' || g, timestamptz '2026-01-01' + g * interval '1 s',
       timestamptz '2026-01-01' + (g + 1) * interval '1 s', 'succeeded', now()
  FROM ids WHERE g <= 50000;
INSERT INTO settlement_rows (provider, provider_transaction_id, run_id, kind, category, source_id,
                             provider_payment_id, provider_charge_id, amount, fee, net, currency,
                             created, outcome, payment_id, matched_at, posted_at)
SELECT 'stripe', 'txn_' || g, '018f0000-0000-7000-8000-000000000001', 'charge', 'charge',
       'ch_' || g, 'pi_' || g, 'ch_' || g, 100, 1, 99, 'USD', '2026-02-01',
       CASE WHEN g % 500 = 0 THEN 'waiting' ELSE 'matched' END, id,
       CASE WHEN g % 500 <> 0 THEN timestamptz '2026-03-01' END,
       CASE WHEN g % 500 > 1 THEN timestamptz '2026-03-01' END
  FROM ids;
INSERT INTO breaks (id, kind, dedupe_key, payment_id, ours, theirs, suggested_cause, found_at,
                    resolved_at, resolution, provider_transaction_id, provider)
SELECT id, (ARRAY['unknown_at_provider', 'missing_at_provider', 'refund_missing',
                  'amount_mismatch'])[1 + g % 4],
       'b' || g, id, jsonb_build_object('provider_refund', 're_' || g),
       jsonb_build_object('charge', 'ch_' || g), 'c', now(),
       CASE WHEN g % 3 = 0 THEN now() END, CASE WHEN g % 3 = 0 THEN 'r' END,
       CASE WHEN g % 5 = 0 THEN 'txn_' || g END, 'stripe'
  FROM ids WHERE g <= 600;
INSERT INTO revenue_recognitions (invoice_id, line, through, amount)
SELECT id, 1, '2026-02-15', 40 FROM ids WHERE g % 2 = 0;
INSERT INTO line_parts (kind, source_id, invoice_id, line, recognised, deferred, tax)
SELECT 'refund', id, id, 1, 0, 1, 0 FROM ids WHERE g % 10 = 0;
ANALYZE
"""

QUERIES: dict[str, tuple[Executable, Mapping[str, Any], str | None]] = {
    "subscriptions that are due": (
        subscriptions.DUE,
        {"now": NOW, "limit": 500},
        "subscriptions_due",
    ),
    "payments that are due": (
        payment_steps.DISPATCH_DUE,
        {"now": NOW, "wall": NOW, "again_at": NOW, "held_until": NOW, "limit": 500},
        "payments_due",
    ),
    "a payment to begin an attempt for": (
        payment_steps._FOR_ATTEMPT,
        {"id": AN_ID, "now": NOW, "wall": NOW, "held_until": NOW, "days": 30},
        "attempts_declined",
    ),
    "cycles that can be closed": (
        cycles._CLOSABLE,
        {"now": NOW, "limit": 100, "after": UUID(int=0)},
        "cycles_opened",
    ),
    "the declines of a card": (
        attempts._DECLINES_OF_METHOD,
        {"payment": AN_ID, "n": 1, "since": NOW},
        "attempts_declined",
    ),
    "the oldest capture to be confirmed": (
        charge_list._OLDEST_UNCONFIRMED,
        {"provider": "stripe"},
        "payments_unconfirmed",
    ),
    "the oldest attempt that is open": (
        charge_list._OLDEST_OPEN,
        {"provider": "stripe"},
        "provider_calls_one_open",
    ),
    "the newest call": (
        fences._NEWEST_CALL,
        {"provider": "stripe"},
        "provider_calls_newest",
    ),
    "captures that are missing at the provider": (
        charge_list._MISSING,
        {"provider": "stripe", "since": NOW, "before": NOW},
        "payments_unconfirmed",
    ),
    "the oldest capture to be settled": (
        windows.OLDEST_UNSETTLED,
        {"provider": "stripe", "long_known": NOW},
        "payments_unsettled",
    ),
    "captures without a settlement": (
        missing._CAPTURES,
        {"provider": "stripe", "since": NOW, "before": NOW, "limit": 1000},
        "payments_unsettled",
    ),
    "refunds of which no money left": (
        missing._REFUNDS,
        {"provider": "stripe", "since": NOW, "before": NOW, "limit": 1000},
        "refunds_unsettled",
    ),
    "up to where the provider's transactions were read": (
        windows._LAST_WINDOW,
        {"provider": "stripe"},
        "reconciliation_runs_read",
    ),
    "the runs that are not over": (
        runs._RUNNING,
        {"provider": "stripe"},
        "reconciliation_runs_running",
    ),
    "the runs of this second": (
        runs._BEGUN_AT,
        {"provider": "stripe", "now": NOW},
        "reconciliation_runs_read",
    ),
    "settlement rows to be judged": (
        matching._LOCK,
        {"provider": "stripe", "after": "", "limit": 20_000},
        "settlement_rows_unmatched",
    ),
    "settlement rows to be posted": (
        rows._TAKE_UNPOSTED,
        {
            "provider": "stripe",
            "after": "",
            "limit": 2_000,
            "payout_failures": False,
            "now": NOW,
        },
        "settlement_rows_unposted",
    ),
    "captures that the balance lacks": (
        tie_out._REASONS[TieOutReason.CAPTURED_NOT_SETTLED],
        {"provider": "stripe"},
        "payments_unsettled",
    ),
    "rows that the books lack": (
        tie_out._REASONS[TieOutReason.SETTLED_NOT_POSTED],
        {"provider": "stripe"},
        "settlement_rows_unmatched",
    ),
    "refunds that the balance lacks": (
        tie_out._REASONS[TieOutReason.REFUNDED_NOT_SETTLED],
        {"provider": "stripe"},
        "refunds_unsettled",
    ),
    "breaks that a batch's rows explain": (
        batch_breaks._EXPLAINED[0],
        {"provider": "stripe", "after": "", "upto": "txn_999999", "now": NOW},
        "settlement_rows_unposted",
    ),
    "breaks that turned out to be others": (
        batch_breaks._EXPLAINED[1],
        {"provider": "stripe", "after": "", "upto": "txn_999999", "now": NOW},
        "settlement_rows_unmatched",
    ),
    "breaks of charges that a batch explains": (
        batch_breaks._EXPLAINED[2],
        {"provider": "stripe", "after": "", "upto": "txn_999999", "now": NOW},
        "settlement_rows_unposted",
    ),
    "missing captures that a batch shows": (
        batch_breaks._EXPLAINED[3],
        {"provider": "stripe", "after": "", "upto": "txn_999999", "now": NOW},
        "settlement_rows_unposted",
    ),
    "our side of a page of charges": (
        charge_list._OURS,
        {"provider": "stripe", "provider_ids": ["pi_1", "pi_2"], "ids": [AN_ID]},
        "payments_provider_payment_id_key",
    ),
    "refunds that are due": (
        refunds.DISPATCH_DUE,
        {"now": NOW, "wall": NOW, "again_at": NOW, "held_until": NOW, "limit": 500},
        "refunds_due",
    ),
    "a refund to send": (
        refunds._LEASE,
        {"id": AN_ID, "now": NOW, "wall": NOW, "until": NOW, "held_until": NOW},
        "refunds_pkey",
    ),
    "how much of a payment went back": (
        refunds._SUCCEED,
        {"id": AN_ID, "provider_refund_id": "re_1", "now": NOW},
        "refunds_payment",
    ),
    "invoices of which something may be earned": (
        recognition._LOCK_DUE,
        {"now": NOW, "limit": 100},
        "invoices_recognise",
    ),
    "what is left of an invoice": (
        recognition._STANDING,
        {"ids": [AN_ID]},
        "revenue_recognitions_pkey",
    ),
    "whether anything is due": (due_work._QUIET, {"now": NOW}, "subscriptions_due"),
    "when something is due next": (due_work._NEXT, {}, "payments_due"),
    "whether a subscription has debts": (
        debts._ANY_PAST_DUE,
        {"subscription": AN_ID},
        "payments_declined",  # nothing was declined here; else that of the subscription
    ),
    "whether debts of a subscription were given up": (
        debts._OTHERS_GIVEN_UP,
        {"subscription": AN_ID, "payment": AN_ID, "since": NOW},
        "payments_failed",  # nothing has failed here; else that of the subscription
    ),
}


@pytest.fixture(scope="module")
def many(pg_server: EmbeddedPostgres, admin: Admin, template_db: str) -> Iterator[Engine]:
    name = sql.Identifier("due_queries")
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    admin.execute(copy.format(name, sql.Identifier(template_db)))
    url = pg_server.url("due_queries")
    with psycopg.connect(url) as conn:
        conn.execute(SEED.encode())
    engine = make_engine(url, role=None)
    yield engine
    engine.dispose()
    admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def plan_of(
    engine: Engine, query: Executable, values: Mapping[str, Any], options: str = ""
) -> dict[str, Any]:
    """Return the plan of a statement exactly as the program sends it."""
    assert isinstance(query, ClauseElement)
    compiled = query.compile(engine)
    with engine.connect() as conn:
        found = conn.exec_driver_sql(
            f"EXPLAIN ({options}FORMAT JSON) {compiled}", compiled.construct_params(dict(values))
        ).scalar_one()
    (explained,) = found if isinstance(found, list) else json.loads(found)
    plan: dict[str, Any] = explained["Plan"]
    return plan


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.slow
@pytest.mark.parametrize(("query", "values", "index"), QUERIES.values(), ids=QUERIES)
def test_a_query_of_the_daemons_reads_an_index(
    many: Engine, query: Executable, values: Mapping[str, Any], index: str | None
) -> None:
    found = list(nodes(plan_of(many, query, values)))

    scanned = {node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"}
    empty = {
        "breaks",
        "credit_notes",
        "cycle_cuts",
        "customers",
        "disputes",
        "payment_methods",
        "payment_transitions",
        "provider_customers",
        "provider_fences",
        "subscription_changes",
        "tax_calls",
        "top_ups",
    }
    assert scanned <= empty, "small, or empty here"
    assert index in {node.get("Index Name") for node in found}


@pytest.mark.slow
def test_due_subscriptions_come_in_order_without_a_sort(many: Engine) -> None:
    plan = plan_of(many, subscriptions.DUE, {"now": NOW, "limit": 500})

    assert "Sort" not in {node["Node Type"] for node in nodes(plan)}


@pytest.mark.slow
def test_a_full_scheduler_batch_is_locked_with_a_few_pages_a_row(many: Engine) -> None:
    with many.connect() as conn:
        due = subscriptions.lock_due(conn, NOW, 500)
        assert len(due) == 500
        assert {subscription.renews_at for subscription in due} == {NOW}
    asked = {"now": NOW, "limit": 500}
    plan = plan_of(many, subscriptions.DUE, asked, "ANALYZE, BUFFERS, ")

    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 4 * 500
