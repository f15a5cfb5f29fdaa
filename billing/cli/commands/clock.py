"""`billing clock`: the sandbox's test clock, shown and moved."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from billing.cli.options import confirm, lasting
from billing.cli.output import Output, output_option, talk
from billing.cli.progress import progress
from billing.cli.session import Session
from billing.errors import BadInput, Conflict

if TYPE_CHECKING:
    from billing.workers.runtime.runtime import Runtime

_MINUTES_OR_MONTHS: Final = re.compile(r"[0-9]{1,6} ?m")


@click.group()
def clock() -> None:
    """The sandbox's test clock."""


@clock.command("show")
@output_option
@click.pass_obj
def show(session: Session, output: Output) -> None:
    """Show what time it is for the engine."""
    from billing.queries.database import test_clock

    with session.connect() as conn:
        pinned = test_clock(conn)
    sandbox = session.settings.mode == "sandbox"
    output.record(
        {
            "mode": session.settings.mode,
            "now": session.now(),
            "source": "test clock" if sandbox and pinned is not None else "system",
            "wall": session.runtime.clock.wall(),
        }
    )


@clock.command("advance")
@click.argument("by", required=False)
@click.option(
    "--to", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%SZ"]),
    metavar="INSTANT", help="Where to move to, in UTC, instead of BY.",
)  # fmt: skip
@click.option(
    "--step", default="0s", show_default=True, metavar="DURATION",
    help="Take what is due within this long in one go; quicker, less exact.",
)  # fmt: skip
@lasting
@output_option
@click.pass_obj
def advance(
    session: Session,
    by: str | None,
    to: datetime | None,
    step: str,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> None:
    """Move the test clock forward, through every instant at which something is due.

    BY is how far: 3mo, 2w, 10d, 36h, 1y. A scheduler and a worker have to run (`billing up`): they
    do what comes due. Sandbox mode only; time can't be turned back.
    """
    from billing.queries import status

    if session.settings.mode != "sandbox":
        raise Conflict("only a sandbox has a test clock", remedy="in live mode time just passes")
    start = session.now()
    end = _end(start, by, to)
    pause = _duration(step, "--step")
    with session.connect() as conn:
        renewals, attempts = status.due(conn, end)
    words = (
        f"move the clock from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC; by then"
        f" {renewals} subscription(s) renew at least once and {attempts} attempt(s) are due"
    )
    stops = 0
    if not dry_run:
        talk(f"this will {words}")
        confirm("Move it?", yes=yes)
        stops = _move(session.runtime, start, end, pause)
        words = f"it is {end:%Y-%m-%d %H:%M} UTC, after {stops} stop(s) on the way"
    record: dict[str, Any] = {
        "action": "advance",
        "dry_run": dry_run,
        "from": start,
        "to": end,
        "stops": stops,
        "renewals_due": renewals,
        "attempts_due": attempts,
    }
    output.message(record, f"would {words}" if dry_run else words)


def _move(runtime: "Runtime", start: datetime, end: datetime, step: timedelta) -> int:
    from billing.workers.up.advance import advance as move

    with progress("advancing", (end - start).total_seconds()) as bar:

        def reached(at: datetime) -> None:
            bar((at - start).total_seconds(), f"{at:%Y-%m-%d %H:%M} UTC")

        return move(runtime, end, step=step, progress=reached, told=talk)


def _end(start: datetime, by: str | None, to: datetime | None) -> datetime:
    """Return where the clock shall go. Raises: BadInput."""
    if (by is None) == (to is None):
        raise BadInput("say how far, or where to", remedy="like `billing clock advance 3mo`")
    end = to.replace(tzinfo=UTC) if to is not None else _after(start, by or "")
    if end <= start:
        raise BadInput(
            f"the clock only goes forward: it is {start:%Y-%m-%d %H:%M} UTC already", where="--to"
        )
    return end


def _after(start: datetime, by: str) -> datetime:
    from billing.plans.terms import Cadence, CadenceError
    from billing.rules.periods import later

    try:
        return later(start, Cadence.parse(by), "UTC")
    except CadenceError:
        return start + _duration(by, "BY")
    except (ValueError, OverflowError) as error:
        raise BadInput(f"that is too far: {error}", where="BY") from None


def _duration(text: str, where: str) -> timedelta:
    from billing.config import parse_duration

    if _MINUTES_OR_MONTHS.fullmatch(text):
        count = text.rstrip("m ")
        raise BadInput(
            f"{text!r} may be minutes or months",
            where=where,
            remedy=f"write {count}mo for months, {int(count) * 60}s for minutes",
        )
    try:
        return parse_duration(text)
    except ValueError:
        raise BadInput(
            f"{text!r} is no length of time", where=where, remedy="write it like 3mo, 2w, 10d, 36h"
        ) from None
