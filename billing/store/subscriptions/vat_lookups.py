"""When the register is asked for a VAT id next. Instants are of real time: nobody bills by them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from billing.store.dispatch import NOT_HELD


@dataclass(frozen=True, slots=True)
class VatLookup:
    """A VAT id that is to be asked for, and how often the register didn't answer before."""

    vat_id: str
    failures: int


_WANT: Final = text(
    """
    INSERT INTO vat_lookups (vat_id, next_at) VALUES (:vat_id, :at)
    ON CONFLICT (vat_id) DO UPDATE SET next_at = least(vat_lookups.next_at, excluded.next_at)
    """
)
_HOLD: Final = text(
    """
    UPDATE vat_lookups u SET held_until = :until
      FROM (SELECT vat_id FROM vat_lookups
             WHERE next_at <= :wall AND (held_until IS NULL OR held_until <= :wall)
             ORDER BY next_at, vat_id LIMIT :limit FOR UPDATE SKIP LOCKED) d
     WHERE u.vat_id = d.vat_id
    RETURNING u.vat_id, u.failures
    """
)
_END: Final = text(
    """
    UPDATE vat_lookups SET next_at = :next_at, held_until = NULL, failures = :failures,
                           last_error = :error
     WHERE vat_id = :vat_id
    """
)


def want(conn: Connection, vat_id: str) -> None:
    """Let the register be asked for an id at once."""
    conn.execute(_WANT, {"vat_id": vat_id, "at": NOT_HELD})


def hold_due(
    conn: Connection, *, wall: datetime, until: datetime, limit: int
) -> Sequence[VatLookup]:
    """Hold the ids that are due, so that no other process asks for them; return them."""
    rows = conn.execute(_HOLD, {"wall": wall, "until": until, "limit": limit})
    return sorted((VatLookup(*row) for row in rows), key=lambda each: each.vat_id)


def end(
    conn: Connection, vat_id: str, *, next_at: datetime, failures: int = 0, error: str | None = None
) -> None:
    """Write when an id is asked for next, and how often the register didn't answer in a row."""
    told = {"vat_id": vat_id, "next_at": next_at, "failures": failures, "error": error}
    conn.execute(_END, told)
