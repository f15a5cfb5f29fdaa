"""What `billing status` shows, gathered: rows from Postgres, the queue's depth, the processes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from billing.cli.records import plain
from billing.cli.session import Session
from billing.errors import Unavailable, first_line

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from billing.queries.figures import Figure
    from billing.queries.status import Fence

_Samples = Mapping[str, Sequence[tuple[Sequence[str], float]]]


def gather(session: Session) -> dict[str, Any]:
    """Return everything at a glance. Works without Redis and without running processes.

    Raises `Unavailable`, `SchemaUnknown` for the database.
    """
    now = session.now()
    with session.connect() as conn:
        return {
            "mode": session.settings.mode,
            "now": now,
            "wall": session.runtime.clock.wall(),
            "processes": processes(session),
            "queue": queue(session),
            **_from_rows(conn, now),
        }


def processes(session: Session) -> list[dict[str, Any]] | None:
    """Return what `billing up` runs in this folder, or None where it doesn't run."""
    from dataclasses import asdict

    from billing.workers.up.state_file import read_status
    from billing.workers.up.up import STATE_FILE

    found = read_status(session.settings.embedded.dir / STATE_FILE)
    return None if found is None else [asdict(child) for child in found]


def queue(session: Session) -> dict[str, Any]:
    """Return how many charges wait in Redis, or why that can't be told."""
    import redis

    from billing.workers.runtime.broker import CHARGES, queue_depth, refusal

    try:
        depth = queue_depth(session.runtime.broker)
    except (redis.RedisError, Unavailable) as error:
        line = error.what if isinstance(error, Unavailable) else first_line(error)
        return {"name": CHARGES, "messages": None, "error": line}
    return {"name": CHARGES, "messages": depth, "error": refusal(session.runtime.broker)}


def _from_rows(conn: "Connection", now: "datetime") -> dict[str, Any]:
    from billing.queries import gauges, status
    from billing.rules.payments import State
    from billing.rules.subscriptions import Status

    samples = _by_name(gauges.gauges(conn, now))
    renewals, attempts = status.due(conn, now)
    statuses, states = status.subscriptions_by_status(conn), status.payments_by_state(conn)
    return {
        "due": {
            "renewals": renewals,
            "attempts": attempts,
            "next_at": status.next_due_instant(conn),
        },
        "watermarks": {
            "renewals": _instant(samples, "billing_renewal_watermark_timestamp_seconds"),
            "charges": _instant(samples, "billing_charge_outcome_watermark_timestamp_seconds"),
        },
        "lag_seconds": _one(samples, "billing_renewal_lag_seconds"),
        "tasks": [plain(task) for task in status.all_tasks(conn)],
        "subscriptions": {str(status): statuses.get(str(status), 0) for status in Status},
        "payments": {str(state): states.get(str(state), 0) for state in State},
        "dunning": _counts(samples, "billing_dunning_subscriptions"),
        "parked": {
            "subscriptions": sum(_counts(samples, "billing_parked_subscriptions").values()),
            "payments": sum(_counts(samples, "billing_parked_payments").values()),
        },
        "unknown_attempts": _one(samples, "billing_unknown_attempts"),
        "taxes": {
            "unanswered": _one(samples, "billing_tax_calls_unanswered"),
            "refused": _one(samples, "billing_tax_records_refused"),
        },
        "providers": [_fence(fence) for fence in status.all_fences(conn)],
        "breaks": _counts(samples, "billing_reconciliation_breaks_open"),
        "cycles_open": _one(samples, "billing_cycles_open"),
        "ledger_sum": _counts(samples, "billing_ledger_imbalance_minor_units"),
    }


def _fence(fence: "Fence") -> dict[str, Any]:
    """Return whether anything is sent to an account, and why not."""
    return {
        "provider": fence.provider,
        "state": str(fence.state) if fence.current or fence.cause else "unchecked",
        "since": fence.since,
        "cause": None if fence.cause is None else str(fence.cause),
        "evidence": fence.evidence,
    }


def _by_name(gauges: "Any") -> _Samples:
    found: dict[str, Sequence[tuple[Sequence[str], float]]] = {}
    gauge: Figure
    for gauge in gauges:
        found[gauge.name] = gauge.samples
    return found


def _one(samples: _Samples, name: str) -> int:
    return int(sum(value for _, value in samples[name]))


def _counts(samples: _Samples, name: str) -> dict[str, int]:
    """Return the figures by their last label, those of several accounts added up."""
    counts: dict[str, int] = {}
    for labels, value in samples[name]:
        counts[labels[-1]] = counts.get(labels[-1], 0) + int(value)
    return counts


def _instant(samples: _Samples, name: str) -> "datetime":
    from datetime import UTC, datetime

    return datetime.fromtimestamp(samples[name][0][1], UTC)
