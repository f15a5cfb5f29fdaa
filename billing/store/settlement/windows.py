"""From when to when a run reads an account's transactions, by what was read and isn't settled."""

from datetime import datetime

from sqlalchemy import Connection, text

_LAST_WINDOW = text(
    """
    SELECT max(window_to) FROM reconciliation_runs
     WHERE provider = :provider AND source = 'provider' AND state = 'succeeded'
    """
)


def read_until(conn: Connection, provider: str) -> datetime | None:
    """Return the instant up to which succeeded runs have read the account's transactions."""
    return conn.execute(_LAST_WINDOW, {"provider": provider}).scalar()


# The window begins at the first send and not at the capture: an answer may be adopted a day after
# the charge. A capture that has long been known to be missing no longer extends the window.
OLDEST_UNSETTLED = text(
    """
    SELECT least(
      (SELECT min(coalesce(a.first_sent_at, p.captured_at))
         FROM payments p
         LEFT JOIN provider_calls a
                ON a.subject_id = p.id AND a.kind = 'charge' AND a.outcome = 'succeeded'
        WHERE p.provider = :provider AND p.captured_at IS NOT NULL AND p.settled_at IS NULL
          AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = p.id AND b.resolved_at IS NULL
                             AND (b.kind <> 'missing_at_provider' OR b.found_at < :long_known))),
      (SELECT min(least(f.finished_at,
                        (SELECT min(c.first_sent_at) FROM provider_calls c
                          WHERE c.subject_id = f.id AND c.kind = 'refund'
                            AND c.outcome = 'succeeded')))
         FROM refunds f
        WHERE f.provider = :provider AND f.state = 'succeeded' AND f.settled_at IS NULL
          AND NOT EXISTS (SELECT FROM breaks b
                           WHERE b.payment_id = f.payment_id AND b.resolved_at IS NULL
                             AND (b.kind <> 'refund_missing' OR b.found_at < :long_known))))
    """
)
_BEGINNING = text(
    """
    SELECT least((SELECT min(first_sent_at) FROM provider_calls
                   WHERE provider = :provider AND kind = 'charge'),
                 (SELECT min(captured_at) FROM payments
                   WHERE provider = :provider AND captured_at IS NOT NULL))
    """
)


def oldest_unsettled(conn: Connection, provider: str, long_known: datetime) -> datetime | None:
    """Return when the oldest capture or refund was sent that has no settlement and no open break.

    One that went missing is looked for again, until its break was found before `long_known`.
    """
    params = {"provider": provider, "long_known": long_known}
    return conn.execute(OLDEST_UNSETTLED, params).scalar()


def beginning(conn: Connection, provider: str) -> datetime | None:
    """Return when money could first have moved at the account; reads all its payments."""
    return conn.execute(_BEGINNING, {"provider": provider}).scalar()
