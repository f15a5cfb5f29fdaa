"""Checks of the demo's money: our rows against the provider's figures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, text

from billing.flows.settlement.tie_out import report as close_report
from billing.flows.webhooks.inbox import is_handled
from billing.gateway import Gateway
from billing.rules.money import Money
from billing.rules.reconciliation import BreakKind
from billing.store.arrays import literal
from billing.workers.demo.accounts import AccountFigures, accounts
from billing.workers.demo.money import Done
from billing.workers.demo.sandbox import SandboxControl
from billing.workers.runtime.runtime import Runtime

BREAKS_GAUGE: Final = "billing_reconciliation_breaks_open"
PAGE_TIMEOUT_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class OpenBreak:
    """A difference with the provider that is left for a person, as the provider's side shows it."""

    kind: str
    payment: str | None
    amount: int | None
    currency: str | None

    def __str__(self) -> str:
        if self.amount is None or self.currency is None:
            return self.kind
        return f"{self.kind} {self.payment or ''} {Money(self.amount, self.currency)}"


@dataclass(frozen=True)
class WebhookFigures:
    """Deliveries, as the provider counted them, and how those that failed ended.

    Of the lost ones `swept` were found by the sweep, and `missing` never reached us; `unhandled`
    are events that did and wait.
    """

    delivered: int = 0
    lost: int = 0
    repeated: int = 0
    held_back: int = 0
    swept: int = 0
    missing: int = 0
    unhandled: int = 0


@dataclass(frozen=True)
class MoneyFigures:
    """Refunds, disputes, settlement: actual counts beside the expected ones.

    `taken` are captures at the provider that no engine asked for, by currency in minor units.
    `alerts` is the gauge on which the alert about open breaks goes off, by kind.
    """

    refunds_by_state: Mapping[str, int] = field(default_factory=dict)
    refunds_asked: int = 0
    disputes_by_state: Mapping[str, int] = field(default_factory=dict)
    disputes_opened: int = 0
    settled_payments: int = 0
    forced_corrections: int = 0
    paid_behind_our_back: int = 0
    fx_events: int = 0
    open_breaks: Sequence[OpenBreak] = ()
    intended_breaks: Sequence[OpenBreak] = ()
    alerts: Mapping[str, int] = field(default_factory=dict)
    taken: Mapping[str, int] = field(default_factory=dict)
    taken_captures: int = 0
    accounts: Sequence[AccountFigures] = ()
    trial_balance_sums: bool = True
    webhooks: WebhookFigures = WebhookFigures()

    @property
    def unexplained(self) -> int:
        """Return all that the tie-outs leave, in minor units of any currency."""
        return sum(abs(n) for each in self.accounts for n in each.unexplained.values())

    @property
    def breaks_by_kind(self) -> dict[str, int]:
        """Return how many breaks of each kind are open."""
        return _counted([found.kind for found in self.open_breaks])

    def findings(self, captured_payments: int) -> list[str]:
        """Return in words the differences from what the demo did."""
        unintended = [found for found in self.open_breaks if found not in self.intended_breaks]
        unnoticed = [found for found in self.intended_breaks if found not in self.open_breaks]
        alerts = {kind: n for kind, n in self.alerts.items() if n}
        webhooks = self.webhooks
        return [
            *(f"an open break that nobody meant: {found}" for found in unintended),
            *(f"no break tells of {found}" for found in unnoticed),
            *_unless(
                alerts == self.breaks_by_kind,
                f"{BREAKS_GAUGE} says {alerts}, open are {self.breaks_by_kind}",
            ),
            *_unless(
                self.settled_payments == captured_payments,
                f"{self.settled_payments} of {captured_payments} captured payments are settled",
            ),
            *_unless(
                self.forced_corrections == self.paid_behind_our_back,
                f"{self.forced_corrections} forced corrections,"
                f" {self.paid_behind_our_back} were called for",
            ),
            *_unless(
                sum(self.refunds_by_state.values()) == self.refunds_asked,
                f"{self.refunds_asked} refunds were asked for: {dict(self.refunds_by_state)}",
            ),
            *_unless(
                sum(self.disputes_by_state.values()) == self.disputes_opened,
                f"{self.disputes_opened} disputes were opened: {dict(self.disputes_by_state)}",
            ),
            *_unless(not webhooks.missing, f"{webhooks.missing} events never reached us"),
            *_unless(not webhooks.unhandled, f"{webhooks.unhandled} events are not handled"),
            *_unless(self.trial_balance_sums, "the trial balance does not sum to zero"),
            *(found for each in self.accounts for found in each.findings()),
        ]


def _unless(holds: bool, words: str) -> list[str]:
    return [] if holds else [words]


def _counted(words: Sequence[str]) -> dict[str, int]:
    return {word: words.count(word) for word in sorted(set(words))}


_COUNTS: Final = text(
    """
    SELECT (SELECT count(*) FROM payments WHERE settled_at IS NOT NULL) AS settled_payments,
           (SELECT count(DISTINCT payment_id) FROM payment_transitions
             WHERE cause = 'forced_correction') AS forced_corrections,
           (SELECT count(*) FROM fx_events) AS fx_events
    """
)
_INBOX: Final = text(
    """
    SELECT count(*) FILTER (WHERE event_id = ANY(CAST(:lost AS text[]))) AS found,
           count(*) FILTER (WHERE event_id = ANY(CAST(:lost AS text[])) AND source = 'sweep')
             AS swept,
           count(*) FILTER (WHERE handled_at IS NULL) AS unhandled
      FROM provider_events
    """
)
_BREAKS: Final = text(
    """
    SELECT kind, theirs ->> 'payment' AS payment, CAST(theirs ->> 'amount' AS bigint) AS amount,
           coalesce(theirs ->> 'currency', currency) AS currency
      FROM breaks WHERE resolved_at IS NULL ORDER BY kind, id
    """
)
_STATES: Final = {
    noun: text(f"SELECT state, count(*) AS n FROM {noun} GROUP BY state ORDER BY state")  # noqa: S608  names of tables
    for noun in ("refunds", "disputes")
}


def figures(
    runtime: Runtime,
    sandbox: SandboxControl,
    done: Done,
    *,
    paid_behind_our_back: int,
    start: datetime,
    now: datetime,
) -> MoneyFigures:
    """Count everything, ask the provider for its balance and deliveries, and scrape the alert."""
    balances = runtime.gateways.balances()
    deliveries, alerts = sandbox.webhooks(), _alerts(runtime)
    lost = [event for _, gateway in runtime.gateways for event in _lost_events(gateway, start)]
    with runtime.engine.connect() as conn:
        counts = conn.execute(_COUNTS).one()
        closing = close_report(conn, now=now, balances=balances)
        sums: dict[str, int] = {}
        for row in closing.trial_balance:
            sums[row.currency] = sums.get(row.currency, 0) + row.balance
        return MoneyFigures(
            refunds_by_state=_by_state(conn, "refunds"),
            refunds_asked=len(done.refunds_asked),
            disputes_by_state=_by_state(conn, "disputes"),
            disputes_opened=len(done.disputes_opened),
            settled_payments=int(counts.settled_payments),
            forced_corrections=int(counts.forced_corrections),
            paid_behind_our_back=paid_behind_our_back,
            fx_events=int(counts.fx_events),
            open_breaks=[
                OpenBreak(row.kind, row.payment, row.amount, row.currency)
                for row in conn.execute(_BREAKS)
            ],
            intended_breaks=[_intended(intent) for intent in done.taken],
            alerts=alerts,
            taken=_taken(done.taken),
            taken_captures=len(done.taken),
            accounts=accounts(conn, sandbox, closing.tie_out or (), taken=len(done.taken)),
            trial_balance_sums=not any(sums.values()),
            webhooks=_webhooks(conn, deliveries, lost),
        )


def _by_state(conn: Connection, noun: str) -> dict[str, int]:
    return {row.state: int(row.n) for row in conn.execute(_STATES[noun])}


def _intended(intent: Mapping[str, Any]) -> OpenBreak:
    """Return the break of a PaymentIntent that was made without the engine."""
    return OpenBreak(
        str(BreakKind.UNKNOWN_AT_PROVIDER),
        str(intent["id"]),
        int(intent["amount_received"]),
        str(intent["currency"]).upper(),
    )


def _taken(taken: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for intent in taken:
        currency = str(intent["currency"])
        sums[currency] = sums.get(currency, 0) + int(intent["amount_received"])
    return sums


def _lost_events(gateway: Gateway, start: datetime) -> list[str]:
    """Ask the provider which events that we wanted it did not deliver, where it lists them."""
    if not gateway.capabilities.lists_events:
        return []
    pages = gateway.list_events(since=start, undelivered_only=True)
    return [event.id for page in pages for event in page if is_handled(event.kind, event.object_id)]


def _webhooks(conn: Connection, shown: Mapping[str, Any], lost: Sequence[str]) -> WebhookFigures:
    inbox = conn.execute(_INBOX, {"lost": literal(lost)}).one()
    return WebhookFigures(
        delivered=shown["deliveries"].get("delivered", 0),
        lost=len(lost),
        repeated=shown["repeated"],
        held_back=shown["held_back"],
        swept=int(inbox.swept),
        missing=len(lost) - int(inbox.found),
        unhandled=int(inbox.unhandled),
    )


def _alerts(runtime: Runtime) -> dict[str, int]:
    """Read the gauge from the reconciler's own page, and add up its accounts."""
    metrics = runtime.settings.metrics
    url = f"http://{metrics.host}:{metrics.reconciler_port}/metrics"
    with urlopen(url, timeout=PAGE_TIMEOUT_SECONDS) as answer:
        page = answer.read().decode()
    kinds = Counter[str]()
    for family in text_string_to_metric_families(page):
        if family.name == BREAKS_GAUGE:
            for sample in family.samples:
                kinds[sample.labels["kind"]] += int(sample.value)
    return kinds
