"""Numbers of series: given one after the other, in the transaction that issues the invoices."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from billing.store.bulk import bulk_insert
from billing.store.tables import invoice_numbers

_TAKE = text(
    """
    INSERT INTO invoice_series AS s (series, last) VALUES (:series, :count)
    ON CONFLICT (series) DO UPDATE SET last = s.last + excluded.last
    RETURNING last
    """
)


def take(conn: Connection, series: str, count: int) -> range:
    """Take the next numbers of a series, which is locked until the transaction ends.

    They have to be given in the same transaction; where it is rolled back, none was taken.
    """
    last = int(conn.execute(_TAKE, {"series": series, "count": count}).scalar_one())
    return range(last - count + 1, last + 1)


def give(conn: Connection, series: str, numbers: Sequence[int]) -> None:
    """Write down that numbers were given to invoices, which are there."""
    bulk_insert(conn, invoice_numbers, [{"series": series, "n": n} for n in numbers])
