"""Whether anything may be sent to an account at a provider, and what is known of its objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from typing import Any, Final
from uuid import UUID

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from billing.rules.reconciliation.knowledge import FenceCause, FenceState, Made, MadeKind, Sent
from billing.store.rows import reader

_REFUSED: Final = "PF001"  # the SQLSTATE of a call that the database refuses to count as sent


class Fenced(Exception):
    """Ends a transaction that would send something to an account whose fence is closed."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self.provider = provider


def account_of(error: Fenced | DBAPIError) -> str | None:
    """Return the account whose fence refused a call; None for another error."""
    if isinstance(error, Fenced):
        return error.provider
    refused = error.orig
    if not isinstance(refused, psycopg.Error) or refused.sqlstate != _REFUSED:
        return None
    return refused.diag.message_detail


@dataclass(frozen=True, slots=True)
class Fence:
    """An account's fence. `current` tells whether it was checked for this state of the database:
    by the transaction that wrote this row, so one that a restore wrote isn't current.

    `since` is domain time, as is `known_until`: of what was made until then, everything is known.
    `horizon` counts the server's transactions, and never falls while its storage isn't set back.
    """

    provider: str
    state: FenceState
    since: datetime
    cause: FenceCause | None
    evidence: Mapping[str, Any]
    known_until: datetime | None
    current: bool
    horizon: int

    @property
    def passed_over(self) -> frozenset[str]:
        """The provider's ids of objects that a recovery couldn't adopt and went on without."""
        return frozenset(self.evidence.get("passed_over", ()))

    @property
    def passes(self) -> bool:
        """Whether calls may be sent."""
        return self.current and self.state is FenceState.OPEN


_fence = reader(Fence)

_READ = """
    SELECT provider, state, since, cause, evidence, known_until,
           checked_database = this_database()
             AND coalesce(written_by = xmin::text, false) AS current,
           CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) AS horizon
      FROM provider_fences
    """
_ONE = text(f"{_READ} WHERE provider = :provider")
_ALL = text(f"{_READ} ORDER BY provider")


def find(conn: Connection, provider: str) -> Fence | None:
    """Return the fence of an account; None where it was never checked."""
    row = conn.execute(_ONE, {"provider": provider}).one_or_none()
    return None if row is None else _fence(row)


# An account that isn't the one to be charged holds a customer while it is recovering: there the
# customer may have been charged for the same.
_HELD = text(
    """
    SELECT t.provider
      FROM customers u
      CROSS JOIN LATERAL (SELECT coalesce(CAST(:provider AS text), u.provider) AS provider) due
      JOIN provider_customers t ON t.customer_id = u.id
     WHERE u.id = :id
       AND (t.provider = due.provider AND NOT may_send(t.provider)
            OR EXISTS (SELECT FROM provider_fences f
                        WHERE f.provider = t.provider AND f.state = 'recovering'))
     ORDER BY t.provider <> due.provider LIMIT 1
    """
)


def held_account(conn: Connection, customer_id: UUID, provider: str | None) -> str | None:
    """Return the account that holds up what a customer owes; None where none does.

    It is due at the account `provider`, or else at the customer's.
    """
    held = conn.execute(_HELD, {"id": customer_id, "provider": provider}).scalar_one_or_none()
    return None if held is None else str(held)


def every(conn: Connection) -> list[Fence]:
    """Return the fences of all accounts."""
    return [_fence(row) for row in conn.execute(_ALL)]


def this_database(conn: Connection) -> str:
    """Return what names the present state of the database; a copy, or a start, has another."""
    return str(conn.execute(text("SELECT this_database()")).scalar_one())


# A fence that was closed meanwhile stays closed: only a recovery opens it.
_OPEN = text(
    """
    INSERT INTO provider_fences AS f
           (provider, state, since, known_until, checked_database, written_by)
    VALUES (:provider, 'open', :now, :known_until, :database, this_transaction())
        ON CONFLICT (provider) DO UPDATE
       SET since = :now, known_until = :known_until, checked_database = :database,
           written_by = this_transaction(), evidence = f.evidence - 'error'
     WHERE f.state = 'open'
    """
)
_CLOSE = text(
    """
    INSERT INTO provider_fences AS f
           (provider, state, since, cause, evidence, known_until, checked_database)
    VALUES (:provider, 'recovering', :now, :cause, CAST(:evidence AS jsonb), :known_until,
            this_database())
        ON CONFLICT (provider) DO UPDATE
       SET state = 'recovering', since = :now, cause = :cause,
           evidence = CAST(:evidence AS jsonb) || jsonb_strip_nulls(
                        jsonb_build_object('passed_over', f.evidence -> 'passed_over')),
           known_until = :known_until, checked_database = this_database()
     WHERE f.state = 'open'
    """
)


def open_for(
    conn: Connection,
    provider: str,
    *,
    database: str,
    known_until: datetime | None,
    now: datetime,
) -> None:
    """Let calls be sent to the account from this state of the database, unless it is recovering."""
    values = {"provider": provider, "database": database, "known_until": known_until, "now": now}
    conn.execute(_OPEN, values)


_NOT_COMPARED = text(
    """
    UPDATE provider_fences
       SET evidence = evidence || jsonb_build_object('error', CAST(:error AS text))
     WHERE provider = :provider AND state = 'open'
    """
)


def could_not_compare(conn: Connection, provider: str, error: str) -> None:
    """Keep why an account can't be compared, until it was."""
    conn.execute(_NOT_COMPARED, {"provider": provider, "error": error})


_RECOVERED = text(
    """
    UPDATE provider_fences
       SET state = 'open', since = :now, cause = NULL, known_until = :now,
           evidence = jsonb_build_object('passed_over', CAST(:passed_over AS text[])),
           checked_database = :database, written_by = this_transaction()
     WHERE provider = :provider AND state = 'recovering'
    """
)


def reopen(
    conn: Connection, provider: str, *, database: str, passed_over: Sequence[str], now: datetime
) -> None:
    """Let calls be sent again after a recovery that passed over these objects."""
    values = {
        "provider": provider,
        "database": database,
        "passed_over": list(passed_over),
        "now": now,
    }
    conn.execute(_RECOVERED, values)


def close_for(
    conn: Connection,
    provider: str,
    *,
    cause: FenceCause,
    evidence: Mapping[str, Any],
    known_until: datetime | None,
    now: datetime,
) -> bool:
    """Let nothing be sent to the account; False where it is closed already."""
    values = {
        "provider": provider,
        "cause": cause,
        "evidence": dumps(dict(evidence)),
        "known_until": known_until,
        "now": now,
    }
    return conn.execute(_CLOSE, values).rowcount == 1


def distrust(conn: Connection) -> None:
    """Have every account compared again that isn't recovering."""
    conn.execute(
        text("UPDATE provider_fences SET checked_database = 'set back' WHERE state = 'open'")
    )


def adopt(conn: Connection) -> None:
    """Let this transaction write calls that are looked up and not sent."""
    conn.execute(text("SELECT set_config('billing.adopting', 'on', true)"))


# --- what this database knows -------------------------------------------------------------------

_NEWEST_CALL = text(
    """
    SELECT coalesce(
             greatest((SELECT max(first_sent_at) FROM provider_calls
                        WHERE provider = :provider AND finished_at IS NOT NULL),
                      (SELECT max(first_sent_at) FROM provider_calls
                        WHERE provider = :provider AND finished_at IS NULL)),
             (SELECT min(created_at) FROM provider_customers WHERE provider = :provider),
             (SELECT max(n.newest) FROM provider_fences f
               CROSS JOIN LATERAL (SELECT max(first_sent_at) AS newest FROM provider_calls
                                    WHERE provider = f.provider AND finished_at IS NOT NULL) n))
    """
)


def newest_call(conn: Connection, provider: str) -> datetime | None:
    """Return when the account's newest call was first sent, as far as this database knows.

    Without a call it is when the first customer was written down there, and without a customer the
    newest call to any account: one that was first used after the moment of a backup has none. None
    where nothing was ever sent.
    """
    found: datetime | None = conn.execute(_NEWEST_CALL, {"provider": provider}).scalar_one()
    return found


_SENT = text(
    """
    SELECT w.id, w.kind,
           array_remove(array_agg(DISTINCT t.theirs), NULL) AS theirs,
           coalesce(jsonb_agg(DISTINCT jsonb_build_array(c.first_sent_at, c.finished_at))
                      FILTER (WHERE c.first_sent_at IS NOT NULL), '[]') AS spans,
           max(t.payment_object) AS payment_object, bool_or(t.has_failed) AS has_failed
      FROM unnest(CAST(:ids AS uuid[]), CAST(:kinds AS text[])) AS w(id, kind)
      JOIN LATERAL (
             SELECT p.id AS subject,
                    CASE WHEN p.provider = :provider THEN p.provider_charge_id END AS theirs,
                    CASE WHEN p.provider = :provider THEN p.provider_payment_id END
                      AS payment_object,
                    p.state = 'FAILED' AS has_failed
               FROM payments p
              WHERE w.kind = 'payment' AND p.id = w.id
             UNION ALL
             SELECT r.id, r.provider_refund_id, NULL, false
               FROM refunds r
              WHERE w.kind = 'refund' AND r.id = w.id AND r.provider = :provider
             UNION ALL
             SELECT u.id, u.provider_customer_id, NULL, false FROM provider_customers u
              WHERE w.kind = 'customer' AND u.customer_id = w.id AND u.provider = :provider
             ) t ON true
      LEFT JOIN provider_calls c
             ON c.subject_id = t.subject AND c.provider = :provider
            AND c.kind = CASE w.kind WHEN 'payment' THEN 'charge' ELSE w.kind END
     GROUP BY w.id, w.kind
    """
)


def sent(
    conn: Connection, provider: str, made: Sequence[Made]
) -> dict[tuple[MadeKind, UUID], Sent]:
    """Return what is known of the ids that these objects of an account name.

    An id without a row is left out. What was sent to another account tells nothing of this one.
    """
    wanted = {(each.kind, each.ours) for each in made}
    params = {
        "provider": provider,
        "ids": [ours for _, ours in wanted],
        "kinds": [str(kind) for kind, _ in wanted],
    }
    return {
        (MadeKind(row.kind), row.id): Sent(
            frozenset(row.theirs),
            tuple((datetime.fromisoformat(first), _instant(end)) for first, end in row.spans),
            row.payment_object,
            row.has_failed,
        )
        for row in conn.execute(_SENT, params)
    }


def _instant(written: str | None) -> datetime | None:
    return None if written is None else datetime.fromisoformat(written)
