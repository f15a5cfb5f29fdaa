"""The figures that each account at a provider has of its own."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from billing.queries.figures import Figure
from billing.rules.provider_names import FIRST_ACCOUNT
from billing.rules.reconciliation import BreakKind
from billing.rules.reconciliation.knowledge import FenceState
from billing.store import fences
from billing.store.payments.provider_calls import UNKNOWN_ATTEMPT


def at_accounts(conn: Connection, now: datetime) -> Iterator[Figure]:
    """Yield the figures by account; those that were ever compared have one of each."""
    compared = fences.every(conn)
    accounts = [each.provider for each in compared] or [FIRST_ACCOUNT]
    for name, help_, query in _ONE_AN_ACCOUNT:
        found = {row.provider: float(row.n) for row in conn.execute(text(query))}
        yield Figure(
            name,
            help_,
            ("provider",),
            [((each,), found.get(each, 0.0)) for each in sorted({*accounts, *found})],
        )
    for read in (_breaks, _oldest_event):
        yield from read(conn, accounts)
    yield Figure(
        "billing_provider_recovering",
        "1 while the database is behind the account at the provider, and nothing is sent to it.",
        ("provider",),
        [((each.provider,), float(each.state is FenceState.RECOVERING)) for each in compared],
    )


# Counts, and an instant that is 0 where there is none.
_ONE_AN_ACCOUNT: Final = (
    (
        "billing_unknown_attempts",
        "Attempts without an answer we can trust, being asked for.",
        f"SELECT provider, count(*) AS n FROM provider_calls WHERE {UNKNOWN_ATTEMPT}"  # noqa: S608  our constant
        " GROUP BY provider",
    ),
    (
        "billing_unknown_refunds",
        "Refunds without an answer we can trust, being asked for.",
        "SELECT provider, count(*) AS n FROM provider_calls WHERE kind = 'refund'"
        " AND finished_at IS NULL AND unknown_since IS NOT NULL GROUP BY provider",
    ),
    (
        "billing_webhook_events_unhandled",
        "Events of the provider that were kept and are not handled.",
        "SELECT provider, count(*) AS n FROM provider_events WHERE next_try_at IS NOT NULL"
        " GROUP BY provider",
    ),
    (
        "billing_duplicate_charges_open",
        "Open breaks of kind duplicate_charge: a customer paid twice.",
        "SELECT provider, count(*) AS n FROM breaks WHERE resolved_at IS NULL"
        " AND kind = 'duplicate_charge' GROUP BY provider",
    ),
    (
        "billing_declined_settlements",
        "Captures whose settlement was declined, and which were undone.",
        "SELECT evidence ->> 'provider' AS provider, count(*) AS n FROM payment_transitions"
        " WHERE cause = 'settlement_declined' GROUP BY 1",
    ),
    (
        "billing_unsettled_captures",
        "Captures whose settlement the provider has not shown.",
        "SELECT provider, count(*) AS n FROM payments"
        " WHERE captured_at IS NOT NULL AND settled_at IS NULL GROUP BY provider",
    ),
    (
        "billing_settlement_runs_failed",
        "Settlement runs given up since the last that succeeded.",
        "SELECT f.provider, count(*) AS n FROM reconciliation_runs f WHERE f.source = 'provider'"
        "   AND f.state = 'failed' AND NOT EXISTS (SELECT FROM reconciliation_runs s"
        "     WHERE s.source = 'provider' AND s.state = 'succeeded' AND s.id > f.id"
        "       AND s.provider = f.provider) GROUP BY f.provider",
    ),
    (
        "billing_settlement_watermark_timestamp_seconds",
        "The provider's transactions before this domain instant are worked through.",
        "SELECT provider, extract(epoch FROM max(window_to)) AS n FROM reconciliation_runs"
        " WHERE source = 'provider' AND state = 'succeeded' GROUP BY provider",
    ),
)


def _breaks(conn: Connection, accounts: Sequence[str]) -> Iterator[Figure]:
    rows = conn.execute(
        text(
            "SELECT provider, kind, count(*) AS n FROM breaks WHERE resolved_at IS NULL"
            " GROUP BY provider, kind"
        )
    )
    counts = {(row.provider, row.kind): float(row.n) for row in rows}
    named = sorted({*accounts, *(account for account, _ in counts)})
    yield Figure(
        "billing_reconciliation_breaks_open",
        "Differences with the provider that nobody resolved yet.",
        ("provider", "kind"),
        [
            ((account, str(kind)), counts.get((account, str(kind)), 0.0))
            for account in named
            for kind in BreakKind
        ],
    )


def _oldest_event(conn: Connection, accounts: Sequence[str]) -> Iterator[Figure]:
    wall = conn.execute(text("SELECT extract(epoch FROM now())")).scalar()
    rows = conn.execute(
        text(
            "SELECT provider, extract(epoch FROM min(received_at)) AS n FROM provider_events"
            " WHERE next_try_at IS NOT NULL GROUP BY provider"
        )
    )
    oldest = {row.provider: float(row.n) for row in rows}
    yield Figure(
        "billing_webhook_oldest_unhandled_timestamp_seconds",
        "When the oldest event that is not handled reached us (real time); now if there is none.",
        ("provider",),
        [
            ((account,), oldest.get(account, float(wall or 0)))
            for account in sorted({*accounts, *oldest})
        ],
    )
