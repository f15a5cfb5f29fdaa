"""One step of a settlement run that somebody else asks for: a command, or a workflow."""

from datetime import datetime

from billing.errors import first_line
from billing.flows import fence
from billing.flows.settlement import stepping
from billing.flows.settlement.stepping import Stepped
from billing.rules.actor import Actor
from billing.rules.provider_names import task_of
from billing.store import tasks
from billing.workers.daemons.reconciler import CLOSE, SETTLE
from billing.workers.daemons.recorded import record_failure, recorded
from billing.workers.runtime.runtime import Runtime


def take(
    runtime: Runtime, account: str, name: str, *, as_of: datetime, actor: Actor, retry: bool = False
) -> Stepped:
    """Take one step of the account's run as `stepping.take` does, unless the account is recovering.

    An error, and the end of the last step, are noted as the reconciler notes its own: `billing
    status` and the alerts read that. Raises `BadInput`, `Recovering`, `Unavailable`.
    """
    context = runtime.context.at_provider(account)
    fence.require(context, account)
    found = stepping.take(context, name, as_of=as_of, actor=actor, retry=retry)
    _note(runtime, found)
    return found


def _note(runtime: Runtime, found: Stepped) -> None:
    settle = task_of(SETTLE, found.provider)
    if found.error is not None:
        record_failure(runtime, settle, f"{found.step}: {first_line(found.error)}")
    elif found.step == "close" and found.is_done:
        for task in (settle, CLOSE):
            with recorded(runtime, task) as run:
                run.done_until = _done_until(runtime, task, found.as_of)


def _done_until(runtime: Runtime, task: str, as_of: datetime) -> datetime:
    """Return the instant of the step, or a later one that was reached before it was asked for."""
    with runtime.engine.connect() as conn:
        reached = tasks.watermark(conn, task)
    return as_of if reached is None else max(as_of, reached)
