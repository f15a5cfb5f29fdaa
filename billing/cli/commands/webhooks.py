"""`billing webhooks`: what the provider told us, what came of it, and once more by hand."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from billing.cli.output import Output, output_option, talk
from billing.cli.records import EVENTS, REPLAYED, plain, write_page
from billing.cli.session import Session
from billing.errors import BadInput, NotFound

if TYPE_CHECKING:
    from sqlalchemy import Row

    from billing.flows.webhooks.handler import Desk

_DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@click.group()
def webhooks() -> None:
    """Events the provider told us of."""


@webhooks.command("list")
@click.option("--type", "kind", metavar="TYPE", help="Only those of a type, like refund.failed.")
@click.option("--object", "object_id", metavar="ID", help="Only those about an object, like pi_...")
@click.option("--unhandled", is_flag=True, help="Only those that are due, with their last error.")
@click.option("--since", type=_DAY, metavar="DATE[THH:MM]", help="Only those since then (UTC).")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True,
    help="How many rows at most.",
)  # fmt: skip
@click.option("--after", metavar="EVENT", help="Go on after this event.")
@output_option
@click.pass_obj
def list_(
    session: Session,
    kind: str | None,
    object_id: str | None,
    unhandled: bool,
    since: datetime | None,
    limit: int,
    after: str | None,
    output: Output,
) -> None:
    """List events in the order in which they happened."""
    from billing.store.access import events

    with session.connect() as conn:
        if after is not None and not events.some(conn, [after]):
            raise _unknown(after)
        rows = events.page(
            conn,
            kind=kind,
            object_id=object_id,
            unhandled=unhandled,
            since=_utc(since),
            after=after,
            limit=limit + 1,
        )
    write_page(output, rows, EVENTS, limit, by="event_id")


@webhooks.command("show")
@click.argument("event")
@output_option
@click.pass_obj
def show(session: Session, event: str, output: Output) -> None:
    """Show an event, with what came of it or why it is still due."""
    from billing.store.access import events

    with session.connect() as conn:
        rows = events.some(conn, [event])
    if not rows:
        raise _unknown(event)
    output.record(plain(rows[0]))


@webhooks.command("replay")
@click.argument("event", required=False)
@click.option(
    "--since", type=_DAY, metavar="DATE[THH:MM]",
    help="Every event since then (UTC), those included that never reached us.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@output_option
@click.pass_obj
def replay(
    session: Session, event: str | None, since: datetime | None, dry_run: bool, output: Output
) -> None:
    """Handle an event again, or every event since a time.

    Each object is taken as the provider has it now, so this changes something only where
    something was missed. It may be repeated.
    """
    if (event is None) == (since is None):
        raise BadInput("say what to replay", remedy="name one event, or a time with --since")
    rows = [] if event is None else _kept(session, event)
    begin = _utc(since)
    if not dry_run:
        with session.audited("webhook.replay", event or f"since {begin:%Y-%m-%d %H:%M}"):
            pass  # what it leads to is written down by the flows it goes through
    found = list(_replay_since(session, begin, dry_run)) if begin is not None else []
    if event is not None:
        found = _preview(rows) if dry_run else _replay(session, [event])
    output.records(found, REPLAYED)


def _kept(session: Session, event: str) -> "list[Row[Any]]":
    from billing.store.access import events

    with session.connect() as conn:
        rows = events.some(conn, [event])
    if not rows:
        raise _unknown(event)
    return rows


def _replay_since(session: Session, begin: datetime, dry_run: bool) -> Iterable[dict[str, Any]]:
    """Look for events that never reached us, then handle all there are, a batch at a time."""
    from billing.flows.webhooks import inbox as flow
    from billing.store.access import events

    desk = _desk(session)
    missing = 0
    for page in desk.gateway.list_events(since=begin):
        if dry_run:
            with session.connect() as conn:
                kept = {row.event_id for row in events.some(conn, [each.id for each in page])}
            missing += len(page) - len(kept)
        else:
            new = flow.receive(desk.engine, page, source="replay", wall=desk.wall)
            missing += len(new)
    talk(f"{missing} event(s) had not reached us")
    with session.connect() as conn:
        batches = list(events.since(conn, begin))
    for rows in batches:
        if dry_run:
            yield from _preview(rows)
        else:
            yield from _replay(session, [row.event_id for row in rows])


def _replay(session: Session, event_ids: list[str]) -> list[dict[str, Any]]:
    from billing.flows.webhooks import inbox as flow

    results = flow.replay(_desk(session), event_ids)
    return [
        {
            "object_id": result.notice.object_id,
            "events": list(result.notice.event_ids),
            "types": sorted(result.notice.types),
            "dry_run": False,
            "failed": result.failed,
            "words": result.words,
        }
        for result in results
    ]


def _preview(rows: "Iterable[Row[Any]]") -> list[dict[str, Any]]:
    from billing.flows.webhooks.inbox import known

    return [
        {
            "object_id": row.object_id,
            "events": [row.event_id],
            "types": [row.type],
            "dry_run": True,
            "failed": False,
            "words": f"would be handled again; so far: {row.handling or row.last_error or 'due'}",
        }
        for row in known(rows)
    ]


def _desk(session: Session) -> "Desk":
    from billing.flows.webhooks.handler import Desk

    runtime = session.runtime
    return Desk(
        session.engine,
        runtime.gateway,
        runtime.policy,
        now=session.now(),
        wall=runtime.clock.wall(),
        adopted=[],
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _unknown(event: str) -> NotFound:
    return NotFound(
        f"no event {event!r} is kept here",
        remedy="`billing webhooks list` shows them; `replay --since` asks the provider too",
    )
