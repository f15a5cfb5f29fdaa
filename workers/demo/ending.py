"""The end of the demo: money that arrives days later is waited for, and each account caught up."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text

from billing.flows.subscriptions import lifecycle
from billing.flows.webhooks.inbox import sweep_task
from billing.rules.actor import Actor, ActorKind
from billing.rules.reconciliation import RunSource
from billing.store import tasks
from billing.store.access import events
from billing.store.settlement import runs
from billing.workers.demo.sandbox import SandboxControl
from billing.workers.runtime.runtime import Runtime

ACTOR: Final = Actor(ActorKind.DEMO)


def paying_later(runtime: Runtime) -> dict[str, timedelta]:
    """Return the accounts whose money arrives days after its capture, and how long that takes."""
    return {
        name: gateway.capabilities.shown_within
        for name, gateway in runtime.gateways
        if gateway.capabilities.settles_within
    }


def stop_selling(runtime: Runtime, accounts: Sequence[str], now: datetime) -> int:
    """End the subscriptions that these accounts collect; return how many there were.

    One that is parked, or whose payment is, stays as it is.
    """
    with runtime.engine.connect() as conn:
        found = conn.execute(_COLLECTED_AT, {"accounts": list(accounts)})
        references = [str(row.id) for row in found]
    for reference in references:
        lifecycle.cancel(
            runtime.engine,
            reference,
            at_period_end=False,
            now=now,
            actor=ACTOR,
            why="the demo ends",
            policy=runtime.policy,
        )
    return len(references)


_COLLECTED_AT: Final = text(
    """
    SELECT s.id FROM subscriptions s JOIN customers c ON c.id = s.customer_id
     WHERE coalesce(s.provider, c.provider) = ANY(:accounts) AND s.status <> 'canceled'
       AND s.parked_at IS NULL
       AND NOT EXISTS (SELECT FROM payments p
                        WHERE p.subscription_id = s.id AND p.parked_at IS NOT NULL)
     ORDER BY s.id
    """
)


class CaughtUp:
    """Whether what happened at the providers has reached the engine since an instant of real time.

    In this order, each to be waited for: `steps`.
    """

    def __init__(self, runtime: Runtime, sandbox: SandboxControl) -> None:
        self._runtime, self._sandbox = runtime, sandbox
        self.steps = (self._delivered, self.swept, self._handled, self._settled)

    def _delivered(self, _since: datetime) -> bool:
        return not self._sandbox.webhooks()["deliveries"].get("pending")

    def swept(self, since: datetime) -> bool:
        """Tell whether each account was swept since then."""
        return self._swept_of(self._runtime.gateways.names, since)

    def swept_events(self, since: datetime) -> bool:
        """Tell whether each account was swept since then whose provider forgets events."""
        gateways = self._runtime.gateways
        listed = [name for name, each in gateways if each.capabilities.lists_events]
        return self._swept_of(listed, since)

    def _swept_of(self, accounts: Sequence[str], since: datetime) -> bool:
        with self._runtime.engine.connect() as conn:
            last = [tasks.last_run(conn, sweep_task(account)) for account in accounts]
        return all(
            each is not None and each.last_success_at and each.last_success_at >= since
            for each in last
        )

    def _handled(self, _since: datetime) -> bool:
        with self._runtime.engine.connect() as conn:
            return not events.page(conn, unhandled=True, limit=1)

    def _settled(self, since: datetime) -> bool:
        """Tell whether of each account a settlement that was begun since then is over."""
        return all(self._settled_at(account, since) for account in self._runtime.gateways.names)

    def _settled_at(self, account: str, since: datetime) -> bool:
        with self._runtime.engine.connect() as conn:
            for run in runs.runs(conn, source=RunSource.PROVIDER, provider=account):
                begun = runs.steps(conn, run.id)[0].started_at
                if run.state == "succeeded" and begun is not None and begun >= since:
                    return True
        return False
