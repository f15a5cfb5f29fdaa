"""`billing webhooks`: events from the provider, their results, and handling them again."""

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from billing.cli.options import more_hint, provider_option, word_option
from billing.cli.output import Output, output_option, say, talk, to_json
from billing.cli.records import EVENTS, REPLAYED, TRIGGERED, plain
from billing.cli.session import Session
from billing.errors import BadInput, Conflict, NotFound
from billing.rules.provider_events import EventKind

if TYPE_CHECKING:
    from billing.flows.webhooks.handling import Result
    from billing.gateway import ProviderEvent
    from billing.gateway.gateways import Gateways
    from billing.queries.events import Event, EventChange

_EVERY_SECONDS: Final = 0.5
_DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@click.group()
def webhooks() -> None:
    """Events received from the provider."""


@webhooks.command("list")
@word_option("--kind", EventKind, "Only those of a kind")
@click.option("--type", "type_", metavar="TYPE", help="Only those of a type of the provider's.")
@click.option("--object", "object_id", metavar="ID", help="Only those about an object.")
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
    type_: str | None,
    object_id: str | None,
    unhandled: bool,
    since: datetime | None,
    limit: int,
    after: str | None,
    output: Output,
) -> None:
    """List events in the order in which they happened."""
    from billing.queries import events

    with session.connect() as conn:
        if after is not None and not events.some(conn, [after]):
            raise _unknown(after)
        rows = events.page(
            conn,
            kind=None if kind is None else EventKind(kind),
            type_=type_,
            object_id=object_id,
            unhandled=unhandled,
            since=_utc(since),
            after=after,
            limit=limit + 1,
        )
    shown = rows[:limit]
    output.records([_record(row) for row in shown], EVENTS)
    if shown:
        more_hint(len(rows), limit, shown[-1].event_id)


def _record(event: "Event") -> dict[str, Any]:
    """Return an event as a record, with what came of it in words."""
    from billing.presenters.event_outcomes import came_of

    return plain(event) | {"words": came_of(event.handling, event.facts)}


@webhooks.command("show")
@click.argument("event")
@output_option
@click.pass_obj
def show(session: Session, event: str, output: Output) -> None:
    """Show an event, with what came of it or why it is still due."""
    from billing.queries import events

    with session.connect() as conn:
        rows = events.some(conn, [event])
    if not rows:
        raise _unknown(event)
    output.record(_record(rows[0]))


@webhooks.command("listen")
@click.option("--print", "bodies", is_flag=True, help="Show what is kept of each event's body too.")
@output_option
@click.pass_obj
def listen(session: Session, bodies: bool, output: Output) -> None:
    """Show events as they are received and handled, until Ctrl-C.

    A line when an event is received, another when it was handled later, and one whenever it waits
    for another reason. With -o jsonl each is an object; `state` is received, handled or failed.
    """
    if output.format == "json":
        raise BadInput("listening has no end", where="-o", remedy="-o jsonl: one object a line")
    with contextlib.suppress(KeyboardInterrupt):  # how listening ends
        _listen(session, bodies, output)


def _listen(session: Session, bodies: bool, output: Output) -> None:
    from billing.queries.events import Listener

    wall = session.runtime.clock.wall
    with session.connect() as conn:
        listener = Listener(conn, wall())
    talk("listening for events; Ctrl-C ends it")
    while True:
        with session.connect() as conn:
            changes = listener.poll(conn, wall())
        for each in changes:
            _say_change(each, bodies, output)
        sys.stdout.flush()
        time.sleep(_EVERY_SECONDS)


def _say_change(change: "EventChange", bodies: bool, output: Output) -> None:
    record = _record(change.event) | {"state": change.state}
    body = record.pop("payload")
    if output.format == "jsonl":
        output.record(record | ({"payload": body} if bodies else {}))
        return
    event = change.event
    at = event.handled_at if change.state == "handled" else event.received_at
    came_of = event.last_error if change.state == "failed" else record["words"]
    say(
        f"{at or event.received_at:%H:%M:%SZ}  {change.state:<8}  {event.provider}"
        f"  {event.type} ({event.kind})  {event.object_id or '-'}  {event.event_id}"
        f"  {came_of or 'due'}"
    )
    if bodies and change.state == "received":
        say(to_json(body, indent=2))


@webhooks.command("trigger")
@click.argument("type_", metavar="TYPE")
@click.option(
    "--object", "object_id", metavar="ID",
    help="Change this object of the provider's, instead of new ones.",
)  # fmt: skip
@provider_option("The account to produce it at, else the default one.")
@output_option
@click.pass_obj
def trigger(
    session: Session, type_: str, object_id: str | None, provider: str | None, output: Output
) -> None:
    """Have the sandbox produce an event, by the change that brings it about.

    TYPE is the provider's word. Shows every event that came of the change. Sandbox only: elsewhere
    the provider has tools of its own.
    """
    from billing.config import format_duration
    from billing.workers.up.sandbox import sandbox_of

    account = session.runtime.gateways.named(provider)
    control = sandbox_of(session.runtime, account)
    if control is None:
        raise Conflict(
            f"the account {account} is not at the sandbox",
            where="providers",
            remedy="an account without a key is, in sandbox mode",
        )
    made = control.trigger(type_, object_id)
    output.records(made, TRIGGERED)
    if not control.delivers():
        talk(
            "the sandbox delivers to no endpoint: events come with the next sweep, within"
            f" {format_duration(session.settings.webhooks.sweep_every)}"
        )


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


def _kept(session: Session, event: str) -> "list[Event]":
    from billing.queries import events

    with session.connect() as conn:
        rows = events.some(conn, [event])
    if not rows:
        raise _unknown(event)
    return rows


def _replay_since(session: Session, begin: datetime, dry_run: bool) -> Iterable[dict[str, Any]]:
    """Look for events that never reached us, then handle all there are, a batch at a time."""
    from billing.flows.webhooks import inbox as flow
    from billing.queries import events

    context = session.runtime.context
    missing = 0
    for provider, page in _listed_events(context.gateways, begin):
        if dry_run:
            with session.connect() as conn:
                kept = {row.event_id for row in events.some(conn, [each.id for each in page])}
            missing += len(page) - len(kept)
        else:
            wall = context.clock.wall()
            new = flow.receive(context.engine, provider, page, source="replay", wall=wall)
            missing += len(new)
    talk(f"{missing} event(s) had not reached us")
    with session.connect() as conn:
        batches = list(events.since(conn, begin))
    for rows in batches:
        if dry_run:
            yield from _preview(rows)
        else:
            yield from _replay(session, [row.event_id for row in rows])


def _listed_events(
    gateways: "Gateways", begin: datetime
) -> "Iterator[tuple[str, Sequence[ProviderEvent]]]":
    """Yield pages of the events of every account whose provider lists them."""
    for provider, gateway in gateways:
        if gateway.capabilities.lists_events:
            for page in gateway.list_events(since=begin):
                yield provider, page


def _replay(session: Session, event_ids: list[str]) -> list[dict[str, Any]]:
    from billing.flows.webhooks import handling

    return [_replayed(result) for result in handling.replay(session.runtime.context, event_ids)]


def _replayed(result: "Result") -> dict[str, Any]:
    from billing.presenters.event_outcomes import came_of

    done = result.handled
    return {
        "object_id": result.events.object_id,
        "events": list(result.events.event_ids),
        "types": sorted(result.events.types),
        "dry_run": False,
        "failed": result.failed,
        "handling": None if done is None else done.outcome,
        "facts": {} if done is None else done.facts,
        "words": result.error if done is None else came_of(done.outcome, done.facts),
    }


def _preview(rows: "Iterable[Event]") -> list[dict[str, Any]]:
    from billing.flows.webhooks.handling import handled_ones
    from billing.presenters.event_outcomes import came_of

    def so_far(row: "Event") -> str:
        return came_of(row.handling, row.facts) or row.last_error or "due"

    return [
        {
            "object_id": row.object_id,
            "events": [row.event_id],
            "types": [row.type],
            "dry_run": True,
            "failed": False,
            "handling": row.handling,
            "facts": row.facts,
            "words": f"would be handled again; so far: {so_far(row)}",
        }
        for row in handled_ones(rows)
    ]


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _unknown(event: str) -> NotFound:
    return NotFound(
        f"no event {event!r} is kept here",
        remedy="`billing webhooks list` shows them; `replay --since` asks the provider too",
    )
