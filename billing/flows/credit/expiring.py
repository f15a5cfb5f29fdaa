"""Writing off credit that nobody used in time: what is left of it is a move and an entry.

A batch is one transaction. The customers' credit is locked before anything is decided, so two at
once, or an invoice that is being issued, wait for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from billing.crash_points import CrashPoint, marked
from billing.ledger import recipes
from billing.rules.actor import RECONCILER, Actor
from billing.rules.credit import MoveKind
from billing.rules.money import Money
from billing.store.journal import posting
from billing.store.payments import credit
from billing.store.payments.credit import GrantLeft


@dataclass(frozen=True, slots=True)
class Expired:
    """What one run did: grants looked at, and how many of them had something left."""

    seen: int = 0
    expired: int = 0


def run(engine: Engine, *, now: datetime, batch: int, held: Sequence[str] = ()) -> Expired:
    """Write off what expired by `now`, of some `batch` grants a transaction.

    Customers of the accounts `held` wait: a recovery may find an invoice that their credit paid.
    """
    seen = expired = 0
    while True:
        with marked(CrashPoint.CREDIT_EXPIRED), engine.begin() as conn:
            done = run_batch(conn, now, batch, held)
        if not done.seen:
            return Expired(seen, expired)
        seen += done.seen
        expired += done.expired


def run_batch(conn: Connection, now: datetime, limit: int, held: Sequence[str] = ()) -> Expired:
    """Write off what is left of the grants of up to `limit` customers whose expiry is due."""
    customers = credit.whose_expiry_is_due(conn, now, limit, held=held)
    if not customers:
        return Expired()
    grants_of = credit.lock_left(conn, customers)
    due = [grant for grants in grants_of.values() for grant in grants if _is_due(grant, now)]
    left = [grant for grant in due if grant.left]
    write_off(conn, left, RECONCILER, at=None)
    credit.set_expiry_due(conn, [grant.id for grant in due], None)
    return Expired(len(due), len(left))


def _is_due(grant: GrantLeft, now: datetime) -> bool:
    return grant.expiry_due_at is not None and grant.expiry_due_at <= now


def write_off(
    conn: Connection, grants: Sequence[GrantLeft], actor: Actor, *, at: datetime | None
) -> None:
    """Take what is left of (locked) grants, `at` an instant or at that from which each is due."""
    moves, entries = [], []
    for grant in grants:
        instant = at or grant.expiry_due_at
        assert instant is not None, "it is due since an instant"
        move = credit.next_move(MoveKind.EXPIRED, grant, grant.left, instant, actor)
        moves.append(move)
        entries.append(
            recipes.credit_expired(
                grant_id=grant.id,
                n=move["n"],
                customer_id=grant.customer_id,
                amount=Money(grant.left, grant.currency),
                paid_for=grant.source.is_paid_for,
                effective_at=instant,
            )
        )
    credit.add_moves(conn, moves)
    posting.post(conn, entries)
