"""`billing parked`: what an error took out of scheduling, and letting it go on."""

from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import click

from billing.cli.options import confirm, lasting, paged, word_option
from billing.cli.output import Output, output_option, talk
from billing.cli.records import PARKED, plain, write_page
from billing.cli.references import look_for
from billing.cli.session import Session, person
from billing.errors import BadInput, Conflict, NotFound

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from sqlalchemy import Connection

    from billing.flows.subscriptions.releasing import Missed, Released
    from billing.queries.parked import Parked


@click.group()
def parked() -> None:
    """What waits for a person, with the error that put it there."""


@parked.command("list")
@word_option("--kind", ("subscription", "payment"), "Only those of one kind")
@click.option("--reason", metavar="WORD", help="Only those parked for this reason.")
@paged
@output_option
@click.pass_obj
def list_(
    session: Session,
    kind: str | None,
    reason: str | None,
    limit: int,
    after: UUID | None,
    output: Output,
) -> None:
    """List parked subscriptions and payments."""
    from billing.queries.parked import parked as listed

    with session.connect() as conn:
        rows = listed(conn, kind=kind, reason=reason, after=after, limit=limit + 1)
    write_page(output, rows, PARKED, limit, record=_told)


def _told(row: "DataclassInstance") -> dict[str, Any]:
    """Return a parked row as a record, with why it is parked in words."""
    from billing.presenters import parking

    return parking.with_sentence(plain(row), "error", "reason", "facts")


@parked.command("show")
@click.argument("reference")
@output_option
@click.pass_obj
def show(session: Session, reference: str, output: Output) -> None:
    """Show what was parked, when, and why."""
    with session.connect() as conn:
        output.record(_told(_find(conn, reference)))


@parked.command("release")
@click.argument("reference")
@click.option("--bill", "missed", flag_value="bill", help="Bill every missed period now.")
@click.option("--skip", "missed", flag_value="skip", help="Pass over missed periods, unbilled.")
@lasting
@output_option
@click.pass_obj
def release(
    session: Session,
    reference: str,
    missed: Literal["bill", "skip"] | None,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> None:
    """Let a parked subscription or payment go on.

    A payment is tried again at once. A subscription's missed periods are billed (--bill), passed
    over (--skip), or left to its plan's catch-up policy.
    """
    from billing.flows.subscriptions import releasing

    with session.connect() as conn:
        row = _find(conn, reference)
    words = _preview(session, row, missed)
    if not dry_run:
        talk(f"this will {words}")
        confirm("Release it?", yes=yes)
        if row.kind == "payment":
            releasing.release_payment(session.engine, row.id, now=session.now())
            words = f"payment {row.id} is tried again now"
        else:
            released = releasing.release_subscription(
                session.engine,
                str(row.id),
                missed=missed,
                now=session.now(),
                actor=person(),
                policy=session.runtime.policy,
            )
            words = "released" + _became_of(released)
    record = {
        "action": "release",
        "dry_run": dry_run,
        "kind": row.kind,
        "id": row.id,
        "words": words,
    }
    output.message(record, f"would {words}" if dry_run else words)


def _find(conn: "Connection", reference: str) -> "Parked":
    """Return the parked row that was named. Raises: NotFound, Conflict."""
    from billing.queries.invoices import invoices
    from billing.queries.parked import parked as listed

    for noun in ("subscription", "payment", "invoice"):
        found = look_for(conn, noun, reference)
        if found is not None and noun == "invoice":
            found = invoices(conn, id=found)[0].payment_id
        if found is None:
            continue
        rows = listed(conn, id=found)
        if not rows:
            raise Conflict(
                f"{noun} {reference} is not parked", remedy="`billing parked list` shows what is"
            )
        return rows[0]
    raise NotFound(
        f"no subscription or payment {reference!r}", remedy="`billing parked list` shows them"
    )


def _preview(session: Session, row: "Parked", missed: "Missed | None") -> str:
    """Return in words what releasing does. Raises: BadInput, Conflict."""
    from billing.flows.subscriptions import releasing
    from billing.presenters import acts

    if row.kind == "payment":
        if missed is not None:
            raise BadInput(f"--{missed} is for subscriptions, and {row.id} is a payment")
        return f"release payment {row.id} and try it again now"
    with session.connect() as conn:
        plan = releasing.plan_release(conn, row.id, missed=missed, now=session.now())
    return acts.release(plan)


def _became_of(released: "Released") -> str:
    if released.missed == "skip":
        return f"; {released.periods} missed periods skipped"
    return f"; {released.periods} periods billed" if released.missed == "bill" else ""
