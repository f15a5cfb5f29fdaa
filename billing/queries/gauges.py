"""The figures that operators watch, each read from Postgres in one cheap query.

`billing status` and the metrics endpoint show the same ones.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from billing.queries.account_figures import at_accounts
from billing.queries.figures import Figure
from billing.queries.sold_figures import sold
from billing.queries.usage_figures import usage
from billing.rules.reconciliation import STEPS
from billing.rules.subscriptions import Status
from billing.tax.calls import TaxCallKind


def gauges(conn: Connection, now: datetime) -> Iterator[Figure]:
    """Yield every figure as of domain time `now`."""
    for read in _READERS:
        yield from read(conn, now)


def _scalar(conn: Connection, sql: str, **params: Any) -> Any:
    return conn.execute(text(sql), params).scalar()


def _watermarks(conn: Connection, now: datetime) -> Iterator[Figure]:
    renewals = _scalar(
        conn,
        "SELECT min(opens_at) FROM subscriptions"
        " WHERE parked_at IS NULL AND opens_at IS NOT NULL AND opens_at <= :now",
        now=now,
    )
    outcomes = _scalar(
        conn,
        "SELECT min(next_attempt_at) FROM payments"
        " WHERE next_attempt_at IS NOT NULL AND parked_at IS NULL AND next_attempt_at <= :now",
        now=now,
    )
    yield Figure(
        "billing_renewal_watermark_timestamp_seconds",
        "Every renewal due before this domain instant has its cycle.",
        (),
        [((), (renewals or now).timestamp())],
    )
    yield Figure(
        "billing_charge_outcome_watermark_timestamp_seconds",
        "Every attempt due before this domain instant has a definite outcome.",
        (),
        [((), (outcomes or now).timestamp())],
    )
    yield Figure(
        "billing_renewal_lag_seconds",
        "How far the oldest renewal that is due and not opened lies back, in domain time.",
        (),
        [((), (now - (renewals or now)).total_seconds())],
    )
    yield Figure(
        "billing_clock_timestamp_seconds",
        "Domain time: real time, or the test clock in sandbox mode.",
        (),
        [((), now.timestamp())],
    )


def _subscriptions(conn: Connection, now: datetime) -> Iterator[Figure]:
    rows = conn.execute(
        text("SELECT plan, status, count(*) AS n FROM subscriptions GROUP BY plan, status")
    )
    counts = {(row.plan, row.status): float(row.n) for row in rows}
    plans = sorted(row.code for row in conn.execute(text("SELECT code FROM plans")))
    yield Figure(
        "billing_subscriptions",
        "Subscriptions by plan and status.",
        ("plan", "status"),
        [
            ((plan, str(status)), counts.get((plan, str(status)), 0.0))
            for plan in plans
            for status in Status
        ],
    )


def _dunning(conn: Connection, now: datetime) -> Iterator[Figure]:
    rows = conn.execute(
        text(
            "SELECT rung, count(DISTINCT subscription_id) AS n FROM payments"
            " WHERE state = 'CREATED' AND decline_class IS NOT NULL GROUP BY rung"
        )
    )
    counts = {row.rung: float(row.n) for row in rows}
    rungs = range(max([3, *counts]) + 1)
    yield Figure(
        "billing_dunning_subscriptions",
        "Subscriptions with a declined payment that is not decided, by rungs used.",
        ("rung",),
        [((str(rung),), counts.get(rung, 0.0)) for rung in rungs],
    )


def _parked(conn: Connection, now: datetime) -> Iterator[Figure]:
    for table in ("subscriptions", "payments"):
        rows = conn.execute(
            text(
                f"SELECT parked_reason, count(*) AS n FROM {table}"  # noqa: S608
                " WHERE parked_at IS NOT NULL GROUP BY parked_reason"
            )
        )
        yield Figure(
            f"billing_parked_{table}",
            f"{table.capitalize()} that wait for a person, by reason.",
            ("reason",),
            [((row.parked_reason,), float(row.n)) for row in rows] or [(("error",), 0.0)],
        )


def _refunds(conn: Connection, now: datetime) -> Iterator[Figure]:
    rows = conn.execute(
        text(
            "SELECT state, count(*) AS n FROM refunds WHERE next_attempt_at IS NOT NULL"
            " GROUP BY state"
        )
    )
    counts = {row.state: float(row.n) for row in rows}
    yield Figure(
        "billing_refunds_open",
        "Refunds that are not decided: requested here, or pending at the provider.",
        ("state",),
        [((state,), counts.get(state, 0.0)) for state in ("requested", "pending")],
    )


def _disputes(conn: Connection, now: datetime) -> Iterator[Figure]:
    rows = conn.execute(
        text(
            "SELECT state, count(*) AS n FROM disputes WHERE state IN ('inquiry', 'opened')"
            " GROUP BY state"
        )
    )
    counts = {row.state: float(row.n) for row in rows}
    yield Figure(
        "billing_disputes_open",
        "Inquiries and disputes that are not decided.",
        ("state",),
        [((state,), counts.get(state, 0.0)) for state in ("inquiry", "opened")],
    )


def _recognition(conn: Connection, now: datetime) -> Iterator[Figure]:
    oldest = _scalar(
        conn,
        "SELECT min(recognise_at) FROM invoices"
        " WHERE recognise_at IS NOT NULL AND recognise_at <= :now",
        now=now,
    )
    yield Figure(
        "billing_recognition_watermark_timestamp_seconds",
        "All revenue that was to be recognised before this domain instant is.",
        (),
        [((), (oldest or now).timestamp())],
    )


def _credit(conn: Connection, now: datetime) -> Iterator[Figure]:
    rows = conn.execute(
        text(
            "SELECT a.currency, coalesce(-sum(p.amount), 0) AS left"
            "  FROM ledger.accounts a LEFT JOIN ledger.postings p ON p.account_id = a.id"
            " WHERE a.code = 'customer_credit' GROUP BY a.currency"
        )
    )
    yield Figure(
        "billing_credit_outstanding_minor_units",
        "Credit that customers hold, in minor units.",
        ("currency",),
        [((row.currency,), float(row.left)) for row in rows] or [(("USD",), 0.0)],
    )
    oldest = _scalar(
        conn, "SELECT min(expiry_due_at) FROM credit_grants WHERE expiry_due_at <= :now", now=now
    )
    yield Figure(
        "billing_credit_expiry_watermark_timestamp_seconds",
        "All credit that expired before this domain instant is written off.",
        (),
        [((), (oldest or now).timestamp())],
    )


def _ledger(conn: Connection, now: datetime) -> Iterator[Figure]:
    rows = conn.execute(
        text(
            "SELECT a.currency, coalesce(sum(p.amount), 0) AS total"
            "  FROM ledger.accounts a LEFT JOIN ledger.postings p ON p.account_id = a.id"
            " GROUP BY a.currency"
        )
    )
    yield Figure(
        "billing_ledger_imbalance_minor_units",
        "Sum of all postings by currency: zero, or the books are broken.",
        ("currency",),
        [((row.currency,), float(row.total)) for row in rows] or [(("USD",), 0.0)],
    )


def _forced_corrections(conn: Connection, now: datetime) -> Iterator[Figure]:
    found = _scalar(
        conn,
        "SELECT count(DISTINCT payment_id) FROM payment_transitions"
        " WHERE cause = 'forced_correction'",
    )
    yield Figure(
        "billing_forced_corrections",
        "Payments that the settlement corrected.",
        (),
        [((), float(found or 0))],
    )


def _settlement_steps(conn: Connection, now: datetime) -> Iterator[Figure]:
    rows = conn.execute(
        text(
            "SELECT s.step, s.state, count(*) AS n FROM reconciliation_steps s"
            "  JOIN reconciliation_runs r ON r.id = s.run_id WHERE r.state = 'running'"
            " GROUP BY s.step, s.state"
        )
    )
    counts = {(found.step, found.state): float(found.n) for found in rows}
    yield Figure(
        "billing_settlement_steps",
        "Steps of settlement runs that are not over, by state.",
        ("step", "state"),
        [
            ((step, state), counts.get((step, state), 0.0))
            for step in STEPS
            for state in ("waiting", "running", "failed")
        ],
    )


def _cycles(conn: Connection, now: datetime) -> Iterator[Figure]:
    rows = conn.execute(text("SELECT count(*) AS n FROM cycles WHERE state = 'opened'"))
    yield Figure(
        "billing_cycles_open",
        "Cycles that are not closed yet.",
        (),
        [((), float(rows.scalar_one()))],
    )


def _tasks(conn: Connection, now: datetime) -> Iterator[Figure]:
    rows = conn.execute(text("SELECT task, last_success_at, last_seconds FROM tasks")).all()
    done = [row for row in rows if row.last_success_at is not None]
    yield Figure(
        "billing_task_last_success_timestamp_seconds",
        "When each recurring task last succeeded (real time).",
        ("task",),
        [((row.task,), row.last_success_at.timestamp()) for row in done],
    )
    yield Figure(
        "billing_task_duration_seconds",
        "How long each recurring task's last successful run took.",
        ("task",),
        [((row.task,), float(row.last_seconds or 0)) for row in done],
    )


def _vat_ids(conn: Connection, now: datetime) -> Iterator[Figure]:
    failing = _scalar(conn, "SELECT count(*) FROM vat_lookups WHERE failures > 0")
    yield Figure(
        "billing_vat_lookups_failing",
        "VAT ids that the register didn't answer for when it was asked last.",
        (),
        [((), float(failing))],
    )


def _taxes(conn: Connection, now: datetime) -> Iterator[Figure]:
    rows = conn.execute(
        text(
            "SELECT kind, count(*) FILTER (WHERE state = 'open' AND error_class IS NOT NULL) AS n,"
            "       count(*) FILTER (WHERE state = 'refused') AS refused"
            "  FROM tax_calls WHERE next_attempt_at IS NOT NULL OR state = 'refused' GROUP BY kind"
        )
    ).all()
    unanswered = {row.kind: float(row.n) for row in rows}
    refused = {row.kind: float(row.refused) for row in rows}
    yield Figure(
        "billing_tax_calls_unanswered",
        "Calls about taxes that were sent and have no answer: invoices wait for calculations.",
        ("kind",),
        [((kind,), unanswered.get(kind, 0.0)) for kind in TaxCallKind],
    )
    yield Figure(
        "billing_tax_records_refused",
        "What a provider refused to record of invoices, and of what was taken back of them.",
        ("kind",),
        [((kind,), refused.get(kind, 0.0)) for kind in (TaxCallKind.RECORD, TaxCallKind.REVERSAL)],
    )


_READERS: Final[Sequence[Callable[[Connection, datetime], Iterator[Figure]]]] = (
    _watermarks,
    _subscriptions,
    _dunning,
    _parked,
    _refunds,
    _disputes,
    _recognition,
    _credit,
    _vat_ids,
    _taxes,
    sold,
    usage,
    _ledger,
    at_accounts,
    _forced_corrections,
    _settlement_steps,
    _cycles,
    _tasks,
)
