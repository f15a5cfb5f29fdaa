"""`billing reconcile`: settlement runs over the provider's lists and over report files."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from billing.cli.failures import FINDINGS, OK, as_billing_error
from billing.cli.options import provider_option, word_option
from billing.cli.output import Output, output_option, talk
from billing.cli.reconcile_step import step as take
from billing.cli.records import plain
from billing.cli.remedies import remedy_of
from billing.cli.session import Session, person
from billing.errors import BadInput, BillingError, first_line
from billing.rules.reconciliation import STEPS

if TYPE_CHECKING:
    from billing.flows.settlement.runs import Worked

INSTANTS = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d")
_RUNS = (
    "id",
    "provider",
    "source",
    "reference",
    "window_from",
    "window_to",
    "state",
    "step",
    "last_error",
)
_STEPS = ("step", "state", "tries", "counts", "started_at", "finished_at", "last_error")


class RunStopped(BillingError):
    """A settlement run stopped at an error; what it did before stays, and it is tried again."""


@click.group()
def reconcile() -> None:
    """The provider's settlement, matched with our books."""


@reconcile.command("run")
@click.option("--retry", is_flag=True, help="Go on with a run that failed, at once.")
@provider_option("Only this account; else each one, in turn.")
@word_option("--step", STEPS, "Take only this step of the run up to --as-of")
@click.option(
    "--as-of",
    "as_of",
    type=click.DateTime(INSTANTS),
    metavar="INSTANT",
    help="With --step: the instant (UTC) up to which the run reads; it names the run.",
)
@output_option
@click.pass_obj
def run(
    session: Session,
    retry: bool,
    provider: str | None,
    step: str | None,
    as_of: datetime | None,
    output: Output,
) -> int:  # fmt: skip
    """Reconcile with the provider's balance transactions now. Ends with 3 on new breaks.

    Goes on with a run that is under way; the reconciler does the same every night. Several accounts
    are reconciled one after the other and shown as a list; one that fails holds up none of them.

    With --step and --as-of it takes one step of that run, which is safe to repeat. That ends with 0
    when it is done, 3 on new breaks, 4 to be tried again, 7 where another step comes first.
    """
    gateways = session.runtime.gateways
    accounts = gateways.names if provider is None else (gateways.named(provider),)
    if (step is None) is not (as_of is None):
        raise BadInput(
            "one step is taken of the run up to an instant: give --step and --as-of together",
            where="reconcile run",
        )
    if step is not None and as_of is not None:
        instant = as_of.replace(tzinfo=UTC)
        return take(session, accounts, step, as_of=instant, retry=retry, output=output)
    if retry:
        _resume_failed(session, accounts)
    worked = {account: _reconciled(session, account) for account in accounts}
    records = [_record(session, done.run_id) for done in worked.values() if done is not None]
    if len(accounts) > 1:
        output.records(records, _RUNS)
    elif records and all(done is None or done.error is None for done in worked.values()):
        output.record(records[0], {"steps": _STEPS})
    elif not records:
        output.message({"run": None}, "no money ever moved: there is nothing to reconcile")
        return OK
    return _tell([done for done in worked.values() if done is not None], records)


def _resume_failed(session: Session, accounts: Sequence[str]) -> None:
    from billing.flows.settlement import runs
    from billing.queries import settlement

    with session.connect() as conn:
        latest = [
            row for each in accounts for row in settlement.runs(conn, limit=50, provider=each)
        ]
    for failed in latest:
        if failed.state == "failed":
            runs.resume(session.engine, failed.id)


def _reconciled(session: Session, account: str) -> "Worked | None":
    """Begin an account's run, or go on with it; None where no money ever moved."""
    from billing.flows import fence
    from billing.flows.settlement import runs

    fence.require(session.context, account)
    run_id = runs.begin(session.engine, account, now=session.now())
    if run_id is None:
        return None
    return runs.work(run_id, session.runtime.context, actor=person())


@reconcile.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--complete",
    is_flag=True,
    help="The report shows everything in its span of time: what it lacks is a break.",
)
@click.option(
    "--time-zone",
    "zone",
    default="UTC",
    show_default=True,
    help="Zone of the instants in columns whose names don't end in _utc.",
)
@provider_option("The account whose report it is; needed where there are several.")
@output_option
@click.pass_obj
def import_(
    session: Session, file: Path, complete: bool, zone: str, provider: str | None, output: Output
) -> int:
    """Reconcile with a settlement report of the provider (CSV). Ends with 3 on new breaks.

    Itemized reports of payout_reconciliation, ending_balance_reconciliation,
    balance_change_from_activity and payouts. The same file again goes on where it was, or changes
    nothing. A malformed row refuses the whole file.
    """
    from billing.flows.context import Context
    from billing.flows.settlement import report_source, runs
    from billing.gateway.registry import report_reader
    from billing.gateway.reports import ReportFile

    runtime = session.runtime
    account = runtime.gateways.only(provider)
    kind = session.settings.providers[account].kind
    report = ReportFile(file, report_reader(kind), _zone(zone))
    run_id = report_source.begin(
        session.engine, account, report, now=session.now(), complete=complete
    )
    record = _record(session, run_id)
    if record["state"] == "succeeded":
        output.record(record, {"steps": _STEPS})
        talk("this file was imported before: nothing changed")
        return OK
    runs.resume(session.engine, run_id)
    without_provider = Context(session.engine, runtime.policy, runtime.clock)
    done = runs.work(run_id, without_provider, report=report, actor=person())
    record = _record(session, run_id)
    if done.error is None:
        output.record(record, {"steps": _STEPS})
    return _tell([done], [record])


def _zone(name: str) -> tzinfo:
    from billing.rules.periods import zone_of

    try:
        return zone_of(name)
    except ValueError as error:
        raise BadInput(str(error), where="--time-zone") from error


@reconcile.command("status")
@click.argument("run_id", type=click.UUID, required=False, metavar="[RUN]")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=10, show_default=True,
    help="How many runs at most.",
)  # fmt: skip
@output_option
@click.pass_obj
def status(session: Session, run_id: UUID | None, limit: int, output: Output) -> None:
    """Show the latest runs and where they stand, or the steps of one."""
    from billing.queries import settlement

    with session.connect() as conn:
        if run_id is None:
            rows = settlement.runs(conn, limit=limit)
            records = [_with_step(plain(row), settlement.steps(conn, row.id)) for row in rows]
            output.records(records, _RUNS)
            return
        output.record(_record(session, run_id), {"steps": _STEPS})


def _tell(worked: Sequence["Worked"], records: Sequence[Mapping[str, Any]]) -> int:
    """Say what runs did that were shown, and return the exit code. Raises: RunStopped."""
    for done in worked:
        if done.error is not None:
            raise _stopped(done, done.error)
    if any(done.state != "succeeded" for done in worked):
        talk("somebody else works on this run; `billing reconcile status` shows how far it is")
        return OK
    steps = [step for record in records for step in record["steps"]]
    new = sum(step["counts"].get("breaks_new", 0) for step in steps)
    if new:
        talk(f"{new} new break(s): `billing breaks list` shows them")
        return FINDINGS
    talk("no new differences")
    return OK


def _stopped(worked: "Worked", error: Exception) -> RunStopped:
    known = as_billing_error(error)
    return RunStopped(
        f"{worked.step}: {first_line(error)}",
        where=(known and known.where) or f"run {worked.run_id}",
        remedy=(known and remedy_of(known)) or "the same command again goes on where it was",
    )


def _record(session: Session, run_id: UUID) -> dict[str, Any]:
    from billing.queries import settlement

    with session.connect() as conn:
        run = plain(settlement.run(conn, run_id))
        steps = [plain(step) for step in settlement.steps(conn, run_id)]
    return {**run, "steps": [_step(step) for step in steps]}


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: count for name, count in step["counts"].items() if count}
    return {**step, "counts": counts}


def _with_step(run: dict[str, Any], steps: Any) -> dict[str, Any]:
    """Return a run with the step it stands at, and that step's error."""
    left = [step for step in steps if step.state != "succeeded"]
    return {
        **run,
        "step": left[0].step if left else None,
        "last_error": left[0].last_error if left else None,
    }
