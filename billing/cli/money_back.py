"""Listing and showing what went back of payments: refunds and disputes are read in the same way."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from billing.cli.output import Columns, Output
from billing.cli.records import plain, write_page
from billing.cli.references import find
from billing.cli.session import Session

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from sqlalchemy import Connection


def write_those_of(
    session: Session,
    output: Output,
    columns: Columns,
    read: "Callable[..., Sequence[DataclassInstance]]",
    *,
    payment: str | None,
    state: str | None,
    limit: int,
    after: UUID | None,
) -> None:
    """Write a page of what was made of a payment, or of all of them."""
    with session.connect() as conn:
        rows = read(
            conn,
            payment_id=find(conn, "payment", payment) if payment else None,
            state=state,
            limit=limit + 1,
            after=after,
        )
    write_page(output, rows, columns, limit)


def write_one(
    session: Session,
    output: Output,
    noun: Literal["refund", "dispute"],
    reference: str,
    read: "Callable[[Connection, UUID], DataclassInstance | None]",
) -> None:
    """Write one of them, by our id or the provider's."""
    with session.connect() as conn:
        row = read(conn, find(conn, noun, reference))
    assert row is not None, f"a {noun} is never deleted"
    output.record(plain(row))
