"""`billing temporal`: the night as a workflow of Temporal, for which an extra is installed."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from billing.cli import collect_as_usual
from billing.cli.failures import FINDINGS, OK
from billing.cli.options import confirm, lasting
from billing.cli.output import Output, output_option, talk
from billing.cli.session import Session, person
from billing.errors import BadInput

if TYPE_CHECKING:
    from billing.workers.temporal.asking import NightSeen

_ACCOUNTS = ("account", "step", "done", "breaks_new", "failed")
_night_option = click.option("--night", metavar="ID", help="This night, else the latest one.")


@click.group()
def temporal() -> None:
    """The night under Temporal: its worker, its schedule, and consent to the close."""


def _require_extra() -> None:
    if find_spec("temporalio") is None:
        raise BadInput(
            "Temporal's client isn't installed",
            where="billing temporal",
            remedy="install the extra: pip install 'perennial-billing[temporal]'",
        )


@temporal.command("worker")
@click.pass_obj
def worker(session: Session) -> None:
    """Run one worker of Temporal: takes the steps of the nights that Temporal drives.

    Any number may run. On TERM it finishes the step that it has begun.
    """
    _require_extra()
    from billing.workers.temporal import serving

    collect_as_usual()
    serving.run(session.settings)


@temporal.command("schedule")
@click.option("--now", is_flag=True, help="Start a night at once, too; behind one under way.")
@output_option
@click.pass_obj
def schedule(session: Session, now: bool, output: Output) -> None:
    """Make the daily schedule at Temporal, or bring it to the configuration.

    Safe to repeat. A schedule that somebody paused stays paused.
    """
    _require_extra()
    from billing.workers.temporal import asking

    found = asking.schedule(session.settings, now=now)
    output.record(
        {"schedule": found.schedule, "at": found.at, "next_at": found.next_at, "made": found.made}
    )
    talk("made" if found.made else "brought to the configuration")
    if now:
        talk("a night was started: `billing temporal show` tells how far it is")


@temporal.command("show")
@_night_option
@output_option
@click.pass_obj
def show(session: Session, night: str | None, output: Output) -> int:
    """Show how far a night is: steps, new breaks, and since when it waits for an approval.

    Ends with 3 where it failed. It needs a worker that runs, because that one answers.
    """
    _require_extra()
    from billing.workers.temporal import asking

    return _tell(asking.show(session.settings, night), output)


@temporal.command("approve")
@_night_option
@lasting
@output_option
@click.pass_obj
def approve(session: Session, night: str | None, dry_run: bool, yes: bool, output: Output) -> int:
    """Consent to the close that a night waits for, in your name.

    Refused where none waits. Look at `billing breaks list` first: what is closed stays closed.
    """
    _require_extra()
    from billing.workers.temporal import asking

    found = asking.waiting(session.settings, night)
    if not dry_run:
        confirm(f"Let {found.night} close?", yes=yes)
        by = person()
        found = asking.approve(session.settings, by.name or str(by), found.night)
    return _tell(found, output)


def _tell(found: "NightSeen", output: Output) -> int:
    record = dict(found.to_json())
    accounts: dict[str, dict[str, Any]] = record.pop("accounts")
    record["accounts"] = [{"account": name, **account} for name, account in accounts.items()]
    output.record(record, {"accounts": _ACCOUNTS})
    standing = found.standing
    if standing.waiting_for_approval_since is not None:
        talk("the close waits for `billing temporal approve`")
    if standing.breaks_new:
        talk(f"{standing.breaks_new} new break(s): `billing breaks list` shows them")
    return FINDINGS if found.status == "failed" else OK
