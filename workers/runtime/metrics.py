"""Metrics: counters that this process keeps, and state that is read from Postgres at scrape.

Names and labels are described one by one in docs/metrics.md. No label ever names a customer
or a subscription; decline codes come from an allow-list. Zeros are exported up front, so that
a rate over a counter that never moved is 0 and not missing.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, get_args

import redis
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from billing.flows.payments.authorization_sending import AuthorizationStep
from billing.flows.payments.collecting import ChargeSend
from billing.flows.refunds.sending import RefundAnswer
from billing.gateway import (
    Absent,
    ActionRequired,
    Declined,
    Deferred,
    EventKind,
    Outcome,
    RefundAccepted,
    RefundStatus,
    Rejected,
    Succeeded,
    Unknown,
)
from billing.gateway.kinds import DeliveryFault, Doubt, FaultKind, SignatureFault
from billing.gateway.provider_kind import Observe
from billing.gateway.registry import KINDS, decline_codes, operations
from billing.queries import gauges
from billing.rules.dunning import AUTHENTICATION_REQUIRED, OWN_CODES, DeclineClass
from billing.rules.provider_names import FIRST_ACCOUNT
from billing.workers.runtime.broker import CHARGES, queue_depth, refusal
from billing.workers.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

ATTEMPT_KINDS: Final = ("first", "ladder", "manual", "new_method", "absent")
# Any other code counts as "other", so that the set of label values is fixed.
DECLINE_CODES: Final = {**OWN_CODES, **decline_codes()}
REFUND_ANSWERS: Final = (
    "succeeded",
    "pending",
    "failed",
    "canceled",
    "rejected",
    "deferred",
    "unknown",
    "absent",
)
STEP_ANSWERS: Final = ("captured", "canceled", "refused", "unanswered")
ONE_ACCOUNT: Final[Mapping[str, str]] = {FIRST_ACCOUNT: next(iter(KINDS))}
WEBHOOK_SOURCES: Final = ("webhook", "sweep")
SIGNATURE_FAULTS: Final = get_args(SignatureFault)
DELIVERY_FAULTS: Final = get_args(DeliveryFault)


# Why a send has no definite answer: errors of the transport and of the provider, and answers that
# contradict our request.
UNANSWERED: Final = frozenset(why.value for why in (*FaultKind, *Doubt))


class ProcessMetrics:
    """What one process counts. `role` and version are in `billing_build_info`.

    `accounts` has the kind of each provider account whose zeros are exported from the start.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        role: str,
        version: str,
        accounts: Mapping[str, str] = ONE_ACCOUNT,
    ) -> None:
        self.registry = registry
        build = Gauge(
            "billing_build_info",
            "1, labelled with what runs here.",
            ["role", "version"],
            registry=registry,
        )
        build.labels(role, version).set(1)
        self._heartbeat = Gauge(
            "billing_scheduler_heartbeat_timestamp_seconds",
            "When the scheduler last finished a tick (real time).",
            registry=registry,
        )
        self._tick_failures = Counter(
            "billing_tick_failures_total", "Ticks that failed and were repeated.", registry=registry
        )
        self._opened = Counter(
            "billing_cycles_opened_total", "Cycles opened by this process.", registry=registry
        )
        self._closed = Counter(
            "billing_cycles_closed_total", "Cycles closed by this process.", registry=registry
        )
        self._attempts = Counter(
            "billing_charge_attempts_total",
            "Attempts with a definite outcome.",
            ["provider", "kind"],
            registry=registry,
        )
        self._failures = Counter(
            "billing_charge_failures_total",
            "Attempts that were declined.",
            ["provider", "kind", "decline_class", "decline_code"],
            registry=registry,
        )
        self._charged = Counter(
            "billing_charged_minor_units_total",
            "Money captured, in minor units.",
            ["provider", "currency"],
            registry=registry,
        )
        self._rejections = Counter(
            "billing_charge_rejections_total",
            "Attempts whose request the provider refused as wrong; the payment is parked.",
            ["provider"],
            registry=registry,
        )
        self._unanswered = Counter(
            "billing_charge_unanswered_total",
            "Sends without a definite answer; the attempt is asked for again.",
            ["provider", "error_class"],
            registry=registry,
        )
        self._unwritten = Gauge(
            "billing_unwritten_outcomes",
            "Outcomes that the database doesn't take; this process sends nothing meanwhile.",
            registry=registry,
        )
        self._refunds = Counter(
            "billing_refund_answers_total",
            "What the provider said to refunds.",
            ["provider", "answer"],
            registry=registry,
        )
        self._refunded = Counter(
            "billing_refunded_minor_units_total",
            "Money given back, in minor units, as answers to our requests said.",
            ["provider", "currency"],
            registry=registry,
        )
        self._steps = Counter(
            "billing_authorization_steps_total",
            "What the provider said to captures and voids of authorised payments.",
            ["provider", "step", "answer"],
            registry=registry,
        )
        self._events = Counter(
            "billing_webhook_events_received_total",
            "Events that were new to us: delivered, or found by the sweep.",
            ["provider", "kind", "source"],
            registry=registry,
        )
        self._events_handled = Counter(
            "billing_webhook_events_handled_total",
            "Events that were handled, or put off because that failed.",
            ["provider", "result"],
            registry=registry,
        )
        self._signatures = Counter(
            "billing_webhook_signature_failures_total",
            "Deliveries whose signature is missing, wrong or out of time.",
            ["provider", "reason"],
            registry=registry,
        )
        self._deliveries = Counter(
            "billing_webhook_deliveries_refused_total",
            "Deliveries that are not meant for this engine, or are no events.",
            ["provider", "reason"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "billing_psp_request_duration_seconds",
            "Requests to the provider.",
            ["provider", "operation"],
            registry=registry,
        )
        self._request_failures = Counter(
            "billing_psp_request_failures_total",
            "Requests to the provider that failed; a decline is an answer, not a failure.",
            ["provider", "operation", "error_class"],
            registry=registry,
        )
        for account, provider_kind in accounts.items():
            self._zeros(account, KINDS[provider_kind].decline_codes)
            self._webhook_zeros(account)

    def _zeros(self, account: str, codes: Mapping[str, DeclineClass]) -> None:
        for kind in ATTEMPT_KINDS:
            self._attempts.labels(account, kind)
        for code, decline_class in {**OWN_CODES, **codes}.items():
            self._failures.labels(account, "first", str(decline_class), code)
        self._rejections.labels(account)
        for why in sorted(UNANSWERED):
            self._unanswered.labels(account, why)
        for answer in REFUND_ANSWERS:
            self._refunds.labels(account, answer)
        for step in ("capture", "void"):
            for answer in STEP_ANSWERS:
                self._steps.labels(account, step, answer)

    def _webhook_zeros(self, account: str) -> None:
        for source in WEBHOOK_SOURCES:
            for kind in EventKind:
                self._events.labels(account, kind, source)
        for result in ("handled", "failed"):
            self._events_handled.labels(account, result)
        for reason in SIGNATURE_FAULTS:
            self._signatures.labels(account, reason)
        for reason in DELIVERY_FAULTS:
            self._deliveries.labels(account, reason)

    def ticked(self, wall: datetime) -> None:
        """Record the end of a scheduler's tick."""
        self._heartbeat.set(wall.timestamp())

    def tick_failed(self) -> None:
        """Record a tick that failed."""
        self._tick_failures.inc()

    def cycles_opened(self, count: int) -> None:
        """Count cycles opened."""
        self._opened.inc(count)

    def cycles_closed(self, count: int) -> None:
        """Count cycles closed."""
        self._closed.inc(count)

    def attempt_finished(self, sending: ChargeSend, outcome: Outcome | Absent) -> None:
        """Count the outcome of an attempt."""
        account, kind = sending.provider, sending.kind
        match outcome:
            case Succeeded(amount=amount, captured=captured):
                self._attempts.labels(account, kind).inc()
                if captured:
                    self._charged.labels(account, amount.currency).inc(amount.amount)
            case Declined(decline_code=code, decline_class=decline_class):
                self._attempts.labels(account, kind).inc()
                self._declined(sending, code, decline_class)
            case ActionRequired():
                self._attempts.labels(account, kind).inc()
                code = AUTHENTICATION_REQUIRED
                self._declined(sending, code, OWN_CODES[code])
            case Absent():
                self._attempts.labels(account, kind).inc()
            case Rejected():
                self._attempts.labels(account, kind).inc()
                self._rejections.labels(account).inc()
            case Unknown(error_class=why) | Deferred(error_class=why):
                self._unanswered.labels(account, why if why in UNANSWERED else "other").inc()

    def _declined(self, sending: ChargeSend, code: str, decline_class: DeclineClass) -> None:
        known = code if code in DECLINE_CODES else "other"
        labels = (sending.provider, sending.kind, str(decline_class), known)
        self._failures.labels(*labels).inc()

    def outcomes_unwritten(self, count: int) -> None:
        """Record how many outcomes can't be written at the moment."""
        self._unwritten.set(count)

    def refund_answered(self, account: str, answer: RefundAnswer) -> None:
        """Count the provider's answer to a refund."""
        if isinstance(answer, RefundAccepted):
            waits = answer.status is RefundStatus.UNKNOWN
            self._refunds.labels(account, RefundStatus.PENDING if waits else answer.status).inc()
            if answer.status is RefundStatus.SUCCEEDED:
                self._refunded.labels(account, answer.amount.currency).inc(answer.amount.amount)
            return
        self._refunds.labels(account, type(answer).__name__.lower()).inc()

    def step_finished(self, step: AuthorizationStep, outcome: Outcome | Absent) -> None:
        """Count the provider's answer to a capture or a void."""
        account = step.provider
        match outcome:
            case Succeeded(amount=amount):
                self._steps.labels(account, step.kind, "captured").inc()
                self._charged.labels(account, amount.currency).inc(amount.amount)
            case Absent():
                self._steps.labels(account, step.kind, "canceled").inc()
            case Declined() | ActionRequired() | Rejected():
                self._steps.labels(account, step.kind, "refused").inc()
            case Unknown() | Deferred():
                self._steps.labels(account, step.kind, "unanswered").inc()

    def webhook_received(self, account: str, kind: EventKind, source: str) -> None:
        """Count an event that was new to us."""
        self._events.labels(account, kind, source).inc()

    def webhooks_handled(self, account: str, count: int, *, failed: bool) -> None:
        """Count events that were handled, or that have to be tried again."""
        self._events_handled.labels(account, "failed" if failed else "handled").inc(count)

    def webhook_refused(self, account: str, reason: str) -> None:
        """Count a delivery that was refused, under the counter that its reason belongs to."""
        if reason in SIGNATURE_FAULTS:
            self._signatures.labels(account, reason).inc()
        else:
            known = reason if reason in DELIVERY_FAULTS else "other"
            self._deliveries.labels(account, known).inc()

    def requests_to(self, account: str) -> Observe:
        """Return what records each request to an account at its provider; its gateway calls it."""
        for operation in sorted(operations()):
            self._request_seconds.labels(account, operation)

        def observe(operation: str, seconds: float, error_class: str | None) -> None:
            self._request_seconds.labels(account, operation).observe(seconds)
            if error_class is not None:
                self._request_failures.labels(account, operation, error_class).inc()

        return observe


class StateCollector(Collector):
    """Reads backlog and state from Postgres (and the queue's depth from Redis) at every scrape."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not query the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the present figures; `billing_state_up` is 0 when they can't be read."""
        up = GaugeMetricFamily("billing_state_up", "1 when Postgres answered this scrape.")
        try:
            with self._runtime.engine.connect() as conn:
                found = list(gauges.gauges(conn, self._runtime.clock.now()))
        except SQLAlchemyError as error:
            logger.warning("no state for this scrape: %s", error)
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        for figure in found:
            family = GaugeMetricFamily(figure.name, figure.help, labels=figure.labels)
            for labels, value in figure.samples:
                family.add_metric(labels, value)
            yield family
        yield from self._queue()

    def _queue(self) -> Iterator[Metric]:
        refused = refusal(self._runtime.broker)
        takes = GaugeMetricFamily(
            "billing_queue_takes_messages", "1 when Redis takes messages, not only answers."
        )
        takes.add_metric([], float(refused is None))
        yield takes
        family = GaugeMetricFamily(
            "billing_queue_messages", "Messages waiting or in work.", labels=["queue"]
        )
        try:
            family.add_metric([CHARGES], queue_depth(self._runtime.broker))
        except redis.RedisError as error:
            logger.warning("no queue depth for this scrape: %s", error)
            return
        yield family
