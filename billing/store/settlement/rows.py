"""Settlement rows after they were judged: posting, correcting, and operators' decisions."""
# ruff: noqa: S608  statements are put together from constants of `MovementKind`

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal  # noqa: TID251  exchange rates are no money
from uuid import UUID

from sqlalchemy import Connection, text

from billing.rules.reconciliation import BOOKED_BY_RULE, MovementKind
from billing.store.arrays import literal
from billing.store.in_list import in_list
from billing.store.rows import reader


@dataclass(frozen=True, slots=True)
class SettlementRow:
    """One balance transaction as read; `amount`, `fee` and `net` are in the balance's currency.

    `outcome` is a `RowOutcome`, the `BreakKind` of a row that is a break, or None before it is
    judged.
    """

    provider: str
    provider_transaction_id: str
    run_id: UUID
    kind: MovementKind
    category: str
    source_id: str | None
    provider_payment_id: str | None
    provider_charge_id: str | None
    amount: int
    fee: int
    net: int
    currency: str
    customer_amount: int | None
    customer_currency: str | None
    exchange_rate: Decimal | None
    provider_payout_id: str | None
    created: datetime
    available_on: datetime | None
    metadata: Mapping[str, str]
    outcome: str | None
    payment_id: UUID | None
    matched_at: datetime | None
    posted_at: datetime | None


_row = reader(SettlementRow)

_TAKE_UNPOSTED = text(
    f"""
    WITH due AS MATERIALIZED (
      SELECT provider_transaction_id AS id FROM settlement_rows
       WHERE provider = :provider AND matched_at IS NOT NULL AND posted_at IS NULL
         AND provider_transaction_id > :after
         AND (kind = '{MovementKind.PAYOUT_FAILURE}') = :payout_failures
       ORDER BY provider_transaction_id
       LIMIT :limit
    )
    UPDATE settlement_rows AS r SET posted_at = :now
      FROM due
     WHERE r.provider = :provider AND r.provider_transaction_id = due.id AND r.posted_at IS NULL
    RETURNING r.*
    """
)
_UNMATCH_UNRULED = text(
    f"""
    UPDATE settlement_rows SET matched_at = NULL, outcome = NULL
     WHERE provider = :provider AND matched_at IS NOT NULL AND posted_at IS NULL
       AND kind IN {in_list(BOOKED_BY_RULE)} AND NOT category = ANY(CAST(:ruled AS text[]))
    """
)
_SETTLE = text(
    """
    WITH due AS MATERIALIZED (
      SELECT DISTINCT ON (r.payment_id) r.payment_id, r.provider_transaction_id,
             r.provider_charge_id, r.run_id, r.outcome
        FROM settlement_rows r
       WHERE r.provider = :provider
         AND r.provider_transaction_id = ANY(CAST(:ids AS text[]))
         AND r.kind = 'charge' AND r.payment_id IS NOT NULL
       ORDER BY r.payment_id, r.provider_transaction_id
    ), locked AS MATERIALIZED (
      SELECT p.id, p.state, d.provider_transaction_id, d.provider_charge_id, d.run_id, d.outcome
        FROM payments p JOIN due d ON d.payment_id = p.id
       WHERE p.captured_at IS NOT NULL AND p.settled_at IS NULL
       ORDER BY p.id FOR UPDATE OF p
    ), settled AS (
      UPDATE payments AS p
         SET state = CASE WHEN l.state = 'CAPTURED' THEN 'SETTLED' ELSE l.state END,
             settled_at = :now, confirmed_at = coalesce(p.confirmed_at, :now), updated_at = :now,
             provider_charge_id = coalesce(p.provider_charge_id, l.provider_charge_id)
        FROM locked l WHERE p.id = l.id
      RETURNING p.id, l.state AS before, l.provider_transaction_id, l.provider_charge_id, l.run_id,
                l.outcome
    ), history AS (
      INSERT INTO payment_transitions (payment_id, from_state, to_state, at, actor, cause, evidence)
      SELECT s.id, 'CAPTURED', 'SETTLED', :now, 'reconciler', 'settlement',
             jsonb_build_object('balance_transaction', s.provider_transaction_id,
                                'charge', s.provider_charge_id, 'run', s.run_id,
                                'outcome', s.outcome)
        FROM settled s
       WHERE s.before = 'CAPTURED'
    )
    SELECT count(*) FROM settled
    """
)
# By the provider's id, or by ours where a report shows no source.
_SETTLE_REFUNDS = text(
    f"""
    WITH shown AS MATERIALIZED (
      SELECT r.source_id, CAST(r.metadata ->> 'refund' AS uuid) AS own_id
        FROM settlement_rows r
       WHERE r.provider = :provider
         AND r.provider_transaction_id = ANY(CAST(:ids AS text[]))
         AND r.kind = '{MovementKind.REFUND}'
         AND r.payment_id IS NOT NULL
    ), locked AS MATERIALIZED (
      SELECT f.id FROM refunds f
       WHERE f.provider = :provider AND f.settled_at IS NULL
         AND f.id IN (SELECT o.id FROM shown s
                        JOIN refunds o ON o.provider = :provider
                                      AND o.provider_refund_id = s.source_id
                       UNION ALL
                      SELECT own_id FROM shown WHERE source_id IS NULL)
       ORDER BY f.id FOR UPDATE
    )
    UPDATE refunds AS f SET settled_at = :now FROM locked l WHERE f.id = l.id
    """
)


def unmatch_unruled(conn: Connection, provider: str, ruled: Sequence[str]) -> int:
    """Have rows judged anew whose rule is gone before they were posted, and return how many."""
    params = {"provider": provider, "ruled": literal(list(ruled))}
    return conn.execute(_UNMATCH_UNRULED, params).rowcount


def take_unposted(
    conn: Connection,
    provider: str,
    *,
    after: str,
    limit: int,
    payout_failures: bool,
    now: datetime,
) -> list[SettlementRow]:
    """Mark the next matched rows that are not in the books as posted, and return them by id.

    They are in the books when the caller's transaction is committed, and not before.
    """
    params = {
        "provider": provider,
        "after": after,
        "limit": limit,
        "payout_failures": payout_failures,
        "now": now,
    }
    rows = [_row(row) for row in conn.execute(_TAKE_UNPOSTED, params)]
    return sorted(rows, key=lambda row: row.provider_transaction_id)


def settle_payments(conn: Connection, provider: str, ids: str, now: datetime) -> int:
    """Make the captured payments of these (locked) charge rows SETTLED, with their history.

    `ids` is an array literal. A payment that was refunded meanwhile keeps its state.
    """
    params = {"provider": provider, "ids": ids, "now": now}
    return int(conn.execute(_SETTLE, params).scalar_one())


def settle_refunds(conn: Connection, provider: str, ids: str, now: datetime) -> None:
    """Mark the refunds of these (locked) rows as settled."""
    conn.execute(_SETTLE_REFUNDS, {"provider": provider, "ids": ids, "now": now})


_KIND_OF_SOURCE = text(
    """
    SELECT kind FROM settlement_rows
     WHERE provider = :provider AND source_id = :source AND kind <> 'charge'
     ORDER BY provider_transaction_id LIMIT 1
    """
)


def kind_of_source(conn: Connection, provider: str, source_id: str) -> MovementKind | None:
    """Return what the settlement shows an object of the provider's as; None before it does."""
    params = {"provider": provider, "source": source_id}
    found = conn.execute(_KIND_OF_SOURCE, params).scalar()
    return None if found is None else MovementKind(found)


_RETURN = text(
    f"""
    SELECT EXISTS (SELECT FROM settlement_rows
                    WHERE provider = :provider AND source_id = :source AND kind <> 'charge'
                      AND kind = '{MovementKind.REFUND_FAILURE}')
    """
)


def shows_return(conn: Connection, provider: str, provider_refund_id: str) -> bool:
    """Tell whether the settlement shows that a refund's money came back."""
    params = {"provider": provider, "source": provider_refund_id}
    return bool(conn.execute(_RETURN, params).scalar_one())


# --- correcting and deciding -----------------------------------------------------------------

_TO_CORRECT = text(
    """
    SELECT provider_transaction_id FROM settlement_rows
     WHERE provider = :provider AND matched_at IS NULL AND outcome = 'correct'
       AND provider_transaction_id > :after
     ORDER BY provider_transaction_id LIMIT :limit
    """
)
_LOCK_ROW = text(
    "SELECT * FROM settlement_rows"
    " WHERE provider = :provider AND provider_transaction_id = :id FOR UPDATE"
)
_LOCK_ROWS = text(
    """
    SELECT * FROM settlement_rows
     WHERE provider = :provider AND provider_transaction_id = ANY(CAST(:ids AS text[]))
     ORDER BY provider_transaction_id FOR UPDATE
    """
)
_UNKNOWN_WITH_NET = text(
    """
    SELECT provider_transaction_id FROM settlement_rows
     WHERE provider = :provider AND matched_at IS NULL AND outcome = 'unknown_at_provider'
       AND kind <> 'charge'
       AND currency = :currency AND net = :net
     ORDER BY provider_transaction_id
    """
)
_DECIDE = text(
    """
    UPDATE settlement_rows
       SET outcome = :outcome,
           matched_at = CASE WHEN :done THEN CAST(:now AS timestamptz) END,
           posted_at = CASE WHEN :nothing_to_post THEN CAST(:now AS timestamptz) ELSE posted_at END
     WHERE provider = :provider AND provider_transaction_id = :id
    """
)


def to_correct(conn: Connection, provider: str, *, after: str, limit: int) -> list[str]:
    """Return the next rows whose payment is to be corrected, by id."""
    params = {"provider": provider, "after": after, "limit": limit}
    rows = conn.execute(_TO_CORRECT, params)
    return [row.provider_transaction_id for row in rows]


def lock_row(conn: Connection, provider: str, transaction_id: str) -> SettlementRow:
    """Lock one settlement row."""
    return _row(conn.execute(_LOCK_ROW, {"provider": provider, "id": transaction_id}).one())


def lock_rows(
    conn: Connection, provider: str, transaction_ids: Sequence[str]
) -> dict[str, SettlementRow]:
    """Lock settlement rows, in the order of their ids; those that aren't there are left out."""
    rows = conn.execute(_LOCK_ROWS, {"provider": provider, "ids": literal(transaction_ids)})
    return {row.provider_transaction_id: _row(row) for row in rows}


def unknown_with_net(conn: Connection, provider: str, currency: str, net: int) -> list[str]:
    """Return the account's unexplained transactions of this net amount."""
    params = {"provider": provider, "currency": currency, "net": net}
    rows = conn.execute(_UNKNOWN_WITH_NET, params)
    return [row.provider_transaction_id for row in rows]


def decide_row(
    conn: Connection,
    provider: str,
    transaction_id: str,
    outcome: str,
    now: datetime,
    *,
    done: bool,
    nothing_to_post: bool = False,
) -> None:
    """Write the outcome of one (locked) row; `done` takes it out of matching."""
    conn.execute(
        _DECIDE,
        {
            "provider": provider,
            "id": transaction_id,
            "outcome": outcome,
            "now": now,
            "done": done,
            "nothing_to_post": nothing_to_post,
        },
    )
