"""Breaks: differences between our books and the provider's, each with both sides and a cause."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from typing import Any, Final, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import Connection, insert, select, text, update

from billing.ids import new_id
from billing.rules.actor import RECONCILER, Actor
from billing.rules.reconciliation import BreakFound, BreakKind, BreakNoteKind, dedupe_key
from billing.store.arrays import literal
from billing.store.rows import reader
from billing.store.tables import break_notes, breaks


@dataclass(frozen=True, slots=True)
class Break:
    """One break as stored: both sides as they were found, and how it was resolved.

    `suggested_cause` is a `BreakCause`, a `BreakKind`, or a sentence of an older release.
    """

    id: UUID
    provider: str
    kind: BreakKind
    dedupe_key: str
    cycle_id: UUID | None
    payment_id: UUID | None
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any]
    suggested_cause: str
    found_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    currency: str | None
    assigned_to: str | None
    resolved_by: str | None
    run_id: UUID | None
    provider_transaction_id: str | None
    customer_id: UUID | None


@dataclass(frozen=True, slots=True)
class BreakNote:
    """A note on a break. `words` are a person's own; other kinds have facts."""

    id: int
    break_id: UUID
    at: datetime
    actor: str
    kind: BreakNoteKind
    words: str | None
    facts: Mapping[str, Any]


class BreakChange(TypedDict, total=False):
    """The columns of a break that change."""

    ours: Mapping[str, Any]
    theirs: Mapping[str, Any]
    assigned_to: str | None
    provider_transaction_id: str
    resolved_at: datetime
    resolution: str
    resolved_by: str


_break = reader(Break)
_note = reader(BreakNote)

_RECORD = text(
    """
    INSERT INTO breaks (id, provider, kind, dedupe_key, cycle_id, payment_id, ours, theirs,
                        suggested_cause, found_at, currency, run_id, provider_transaction_id)
    SELECT x.id, x.provider, x.kind, x.dedupe_key, x.cycle_id, x.payment_id,
           CAST(x.ours AS jsonb), CAST(x.theirs AS jsonb), x.suggested_cause, :now, x.currency,
           x.run_id, x.provider_transaction_id
      FROM unnest(CAST(:id AS uuid[]), CAST(:provider AS text[]), CAST(:kind AS text[]),
                  CAST(:dedupe_key AS text[]), CAST(:cycle_id AS uuid[]),
                  CAST(:payment_id AS uuid[]), CAST(:ours AS text[]), CAST(:theirs AS text[]),
                  CAST(:suggested_cause AS text[]), CAST(:currency AS text[]),
                  CAST(:run_id AS uuid[]), CAST(:provider_transaction_id AS text[]))
             AS x(id, provider, kind, dedupe_key, cycle_id, payment_id, ours, theirs,
                  suggested_cause, currency, run_id, provider_transaction_id)
    ON CONFLICT (provider, dedupe_key) DO UPDATE
       SET provider_transaction_id = excluded.provider_transaction_id, run_id = excluded.run_id,
           ours = excluded.ours, theirs = excluded.theirs, currency = excluded.currency,
           found_at = CASE WHEN breaks.resolved_at IS NULL THEN breaks.found_at
                           ELSE excluded.found_at END,
           resolved_at = NULL, resolution = NULL, resolved_by = NULL
     WHERE excluded.provider_transaction_id IS NOT NULL
       AND CASE WHEN breaks.resolved_at IS NULL THEN breaks.provider_transaction_id IS NULL
                ELSE breaks.resolved_by = 'reconciler' END
    RETURNING (xmax = 0) AS created
    """
)


def record_all(conn: Connection, found: Iterable[BreakFound], *, now: datetime) -> int:
    """Record differences, each once, and return how many are new.

    An open break that another source found gets the settlement's sides. A break that was resolved
    automatically is opened again when the settlement shows the difference again.
    """
    by_key = {(each.provider or "", each.dedupe_key): each for each in found}
    if not by_key:
        return 0
    sorted_ = [by_key[key] for key in sorted(by_key)]
    columns: dict[str, list[Any]] = {
        "id": [new_id() for _ in sorted_],
        "provider": [each.provider for each in sorted_],
        "kind": [str(each.kind) for each in sorted_],
        "dedupe_key": [each.dedupe_key for each in sorted_],
        "suggested_cause": [each.suggested_cause for each in sorted_],
        "cycle_id": [each.cycle_id for each in sorted_],
        "payment_id": [each.payment_id for each in sorted_],
        "currency": [each.currency for each in sorted_],
        "run_id": [each.run_id for each in sorted_],
        "provider_transaction_id": [each.transaction_id for each in sorted_],
        "ours": [dumps(dict(each.ours)) for each in sorted_],
        "theirs": [dumps(dict(each.theirs)) for each in sorted_],
    }
    params = {name: literal(values) for name, values in columns.items()}
    return sum(row.created for row in conn.execute(_RECORD, {**params, "now": now}))


def record(conn: Connection, found: BreakFound, *, now: datetime) -> bool:
    """Record a difference once; False when its break exists."""
    return record_all(conn, [found], now=now) == 1


def explain(
    conn: Connection,
    provider: str,
    kind: BreakKind,
    subject: object,
    *,
    now: datetime,
    resolution: str,
    resolved_by: str = str(RECONCILER),
) -> bool:
    """Resolve the open break of an account, a kind and a subject, as it is explained now.

    False when there is none.
    """
    result = conn.execute(
        update(breaks)
        .where(
            breaks.c.provider == provider,
            breaks.c.dedupe_key == dedupe_key(kind, subject),
            breaks.c.resolved_at.is_(None),
        )
        .values(resolved_at=now, resolution=resolution, resolved_by=resolved_by)
    )
    return result.rowcount == 1


_CORRECTED = text(
    """
    UPDATE breaks
       SET resolved_at = :now, resolved_by = 'reconciler', resolution = :resolution,
           provider_transaction_id = :transaction
     WHERE provider = :provider AND resolved_at IS NULL
       AND (provider_transaction_id = :transaction
            OR payment_id = :payment AND kind = 'captured_at_provider_only'
               AND (theirs ->> 'charge') IS NOT DISTINCT FROM :charge)
    """
)


def resolve_corrected(
    conn: Connection,
    provider: str,
    *,
    payment_id: UUID,
    transaction_id: str,
    charge_id: str | None,
    resolution: str,
    now: datetime,
) -> int:
    """Resolve the breaks of a charge whose payment was corrected."""
    return conn.execute(
        _CORRECTED,
        {
            "provider": provider,
            "now": now,
            "resolution": resolution,
            "transaction": transaction_id,
            "payment": payment_id,
            "charge": charge_id,
        },
    ).rowcount


_DECIDED = text(
    """
    SELECT * FROM breaks
     WHERE provider = :provider AND dedupe_key = ANY(CAST(:keys AS text[]))
       AND resolved_at IS NOT NULL
       AND resolved_by IS DISTINCT FROM 'reconciler'
     ORDER BY dedupe_key FOR UPDATE
    """
)


def decided(conn: Connection, provider: str, dedupe_keys: Sequence[str]) -> dict[str, Break]:
    """Lock and return, by their keys, the account's breaks that a person has resolved."""
    if not dedupe_keys:
        return {}
    rows = conn.execute(_DECIDED, {"provider": provider, "keys": literal(dedupe_keys)})
    return {row.dedupe_key: _break(row) for row in rows}


def get(conn: Connection, break_id: UUID) -> Break | None:
    """Return one break."""
    row = conn.execute(select(breaks).where(breaks.c.id == break_id)).one_or_none()
    return None if row is None else _break(row)


def lock(conn: Connection, break_id: UUID) -> Break | None:
    """Lock one break to change it."""
    query = select(breaks).where(breaks.c.id == break_id).with_for_update()
    row = conn.execute(query).one_or_none()
    return None if row is None else _break(row)


def lock_of_transactions(
    conn: Connection, provider: str, transaction_ids: Sequence[str]
) -> list[Break]:
    """Lock the breaks of these settlement rows, resolved ones too."""
    query = select(breaks).where(
        breaks.c.provider == provider, breaks.c.provider_transaction_id.in_(transaction_ids)
    )
    rows = conn.execute(query.order_by(breaks.c.id).with_for_update())
    return [_break(row) for row in rows]


def change(conn: Connection, break_id: UUID, **values: Unpack[BreakChange]) -> None:
    """Write columns of one break."""
    conn.execute(update(breaks).where(breaks.c.id == break_id).values(**values))


def annotate(
    conn: Connection,
    break_id: UUID,
    kind: BreakNoteKind,
    *,
    at: datetime,
    actor: Actor,
    words: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Add a note to a break; notes can't be removed."""
    conn.execute(
        insert(break_notes).values(
            break_id=break_id, at=at, actor=str(actor), kind=kind, words=words, facts=facts or {}
        )
    )


def notes(conn: Connection, break_id: UUID) -> list[BreakNote]:
    """Return a break's notes, oldest first."""
    query = select(break_notes).where(break_notes.c.break_id == break_id)
    return [_note(row) for row in conn.execute(query.order_by(break_notes.c.id))]


_PROPOSED: Final = (
    select(break_notes.c.id)
    .where(break_notes.c.break_id == breaks.c.id, break_notes.c.kind == BreakNoteKind.PROPOSED)
    .exists()
)


def page(
    conn: Connection,
    *,
    provider: str | None = None,
    kind: str | None = None,
    assigned_to: str | None = None,
    include_resolved: bool = False,
    currency: str | None = None,
    proposed: bool | None = None,
    limit: int = 50,
    after: UUID | None = None,
) -> list[Break]:
    """Return up to `limit` breaks in the order they were found, after the id `after`.

    `proposed` are those that an adjustment was proposed for.
    """
    query = select(breaks).order_by(breaks.c.id).limit(limit)
    if not include_resolved:
        query = query.where(breaks.c.resolved_at.is_(None))
    if provider is not None:
        query = query.where(breaks.c.provider == provider)
    if kind is not None:
        query = query.where(breaks.c.kind == kind)
    if assigned_to is not None:
        query = query.where(breaks.c.assigned_to == assigned_to)
    if currency is not None:
        query = query.where(breaks.c.currency == currency)
    if proposed is not None:
        query = query.where(_PROPOSED if proposed else ~_PROPOSED)
    if after is not None:
        query = query.where(breaks.c.id > after)
    return [_break(row) for row in conn.execute(query)]
