"""Where a process may die: every place behind something durable, by name.

Durable are a commit, a call that changes something at the provider, a message put into the queue,
and a message acknowledged. Between two of them stands a point. Tests kill a process at each, and
docs/crash-matrix.md has what stood in PostgreSQL then and what followed.

Here a point does nothing. There is no setting, variable or function that changes that: a test
replaces `_act` in its own process, and another test refuses any other mention of it.
"""

from collections.abc import Callable
from enum import StrEnum
from types import TracebackType


class CrashPoint(StrEnum):
    """The places, each named once in the code."""

    # billing
    CYCLES_OPENED = "cycles opened"
    """A batch of due subscriptions has its cycles, invoices and payments."""
    DISPATCHED = "dispatched"
    """Due rows are held for the dispatch window; no message is sent yet."""
    MESSAGE_SENT = "message sent"
    """A message is in the queue."""
    MESSAGE_TAKEN = "message taken"
    """A worker has a message, and has begun nothing."""
    MESSAGE_ACKNOWLEDGED = "message acknowledged"
    """A message is out of the queue."""
    TASK_RECORDED = "task recorded"
    """The end of a task's run is written."""
    TASK_FAILURE_RECORDED = "task failure recorded"
    """The error that ended a task's run is written."""

    # calls of the provider
    CHARGE_BEGUN = "charge begun"
    """A due payment is leased with its attempt and its call, or decided without a call."""
    STEP_BEGUN = "step begun"
    """A capture or a void is leased, and its call is committed."""
    REFUND_BEGUN = "refund begun"
    """A due refund is leased, and its call is committed."""
    REQUEST_SENT = "request sent"
    """A request that changes something is at the provider; its answer is not read."""
    ANSWER_READ = "answer read"
    """The answer to such a request is read, and nothing is written."""
    CHARGE_RECORDED = "charge recorded"
    """The outcome of an attempt is written."""
    STEP_RECORDED = "step recorded"
    """The outcome of a capture or a void is written."""
    REFUND_RECORDED = "refund recorded"
    """The outcome of a refund is written."""

    LEAVING_RECORDED = "leaving recorded"
    """What a payment left at an account is canceled, so that another one may be tried."""

    # customers
    CUSTOMER_CLAIMED = "customer claimed"
    """The customer's row and the call that makes them at the provider are committed."""
    CUSTOMER_RECORDED = "customer recorded"
    """The provider's id of the customer is written."""
    METHOD_CALL_BEGUN = "method call begun"
    """The call that attaches a payment method is committed."""
    METHOD_RECORDED = "method recorded"
    """The payment method is written, and what waited for it is due."""
    PAYMENTS_MOVED = "payments moved"
    """Payments that waited are due at the account to which they are moved."""
    CALL_BEGUN_ANEW = "call begun anew"
    """A call under which nothing was made has ended, and the next one is begun."""
    CALL_REFUSED = "call refused"
    """The provider's refusal has ended the call."""
    CALL_LEFT_OPEN = "call left open"
    """The call has no definite answer, and stays open."""

    # requests of API callers
    PAYMENT_KEY_CLAIMED = "payment key claimed"
    """The idempotency key of a payment's request is claimed, and what it asks for is written."""
    PAYMENT_ANSWER_KEPT = "payment answer kept"
    """The answer to a payment's request is kept under its key, unless it is pending."""
    REFUSED_CHARGE_ENDED = "refused charge ended"
    """A charge of a caller that the provider refused as wrong has ended."""
    CUSTOMER_KEY_CLAIMED = "customer key claimed"
    """The idempotency key of a request about a customer is claimed."""
    CUSTOMER_ANSWER_KEPT = "customer answer kept"
    """The answer to a request about a customer is kept under its key."""
    CUSTOMER_MADE_AUDITED = "customer made audited"
    """An error has ended a request, and the audit log names the customer that was made."""
    KEYED_WORK_DONE = "keyed work done"
    """A request without a call is carried out, and its answer kept, in one transaction."""
    KEY_RELEASED = "key released"
    """The lease of an idempotency key has ended without an answer."""
    API_KEY_CREATED = "api key created"
    """A key for callers of the API is written."""
    API_KEY_SEEN = "api key seen"
    """When a caller's key was last used is written."""
    API_KEY_REVOKED = "api key revoked"
    """A key for callers of the API is revoked."""

    # events
    EVENTS_RECEIVED = "events received"
    """Events are kept; the provider has no answer yet."""
    EVENTS_CLAIMED = "events claimed"
    """Due events are leased."""
    EVENTS_HANDLED = "events handled"
    """What events of an object meant is written, and that they are handled."""
    EVENTS_PUT_OFF = "events put off"
    """Events that can't be handled yet are due later."""
    UNREADABLE_EVENTS_RECORDED = "unreadable events recorded"
    """Events of the provider's list that can't be read are breaks."""
    UNREADABLE_REFUNDS_RECORDED = "unreadable refunds recorded"
    """Refunds of an event that can't be read are breaks."""

    # credit
    CREDIT_GRANTED = "credit granted"
    """A grant of credit is written, with its entry."""
    CREDIT_REVOKED = "credit revoked"
    """What was left of a grant has expired because somebody said so."""
    CREDIT_EXPIRED = "credit expired"
    """What was left of a batch of grants has expired, with its entries."""

    # taxes
    VAT_LOOKUPS_HELD = "VAT ids held"
    """VAT ids are held that the register is asked for."""
    VAT_LOOKUP_RECORDED = "VAT id looked up"
    """What the register said of a VAT id is written, or when it is asked again."""
    TAXES_WANTED = "taxes wanted"
    """That a provider is asked for the taxes of an invoice is committed."""
    TAX_CALL_BEGUN = "tax call begun"
    """A call about taxes is leased, and its send is counted."""
    TAX_CALL_ANSWERED = "tax call answered"
    """What came of a call about taxes is written: the decision that it makes, or its record."""

    # reconciliation and closing
    REVENUE_RECOGNISED = "revenue recognised"
    """A batch of invoices has earned what was due."""
    CHARGES_COMPARED = "charges compared"
    """A page of the provider's charges is compared."""
    MISSING_CHARGES_RECORDED = "missing charges recorded"
    """Captures that are missing from the provider's list are breaks."""
    SETTLEMENT_BEGUN = "settlement begun"
    """The night's settlement has its run."""
    SETTLEMENT_RESUMED = "settlement resumed"
    """A settlement that failed is due again."""
    REPORT_BEGUN = "report begun"
    """The import of a settlement report has its run."""
    STEP_CLAIMED = "step claimed"
    """A step of a settlement is leased."""
    BATCH_DONE = "batch done"
    """A batch of a settlement's step is written with its cursor."""
    STEP_DONE = "step done"
    """The end of a settlement's step is written."""
    STEP_FAILED = "step failed"
    """The error of a settlement's step is written."""
    SETTLEMENT_ENDED = "settlement ended"
    """All steps of a settlement are done, and so is its run."""
    CYCLES_CLOSED = "cycles closed"
    """A batch of cycles is closed."""
    DIGESTS_REPAIRED = "digests repaired"
    """Digests of closed cycles are computed anew."""

    # the fence and recovery
    FENCE_CHECKED = "fence checked"
    """The account was compared, and its fence is open or closed."""
    FENCE_NOT_CHECKED = "fence not checked"
    """That the account couldn't be compared is written."""
    FENCE_DISTRUSTED = "fence distrusted"
    """Every account has to be compared again."""
    CUSTOMER_ADOPTED = "customer adopted"
    """A customer whom the database had forgotten is written, with the payment methods."""
    METHODS_ADOPTED = "methods adopted"
    """The payment methods of a payment's customer are written."""
    CYCLES_ADOPTED = "cycles adopted"
    """The cycles up to a forgotten payment are open."""
    CHARGE_ADOPTED = "charge adopted"
    """A forgotten charge without an invoice is written, without an outcome."""
    FORGOTTEN_CHARGE_BEGUN = "forgotten charge begun"
    """An attempt that a restored database has forgotten is written again, without an outcome."""
    BREAKS_EXPLAINED = "breaks explained"
    """Breaks about an adopted charge are resolved or written."""
    REFUND_ADOPTED = "refund adopted"
    """A forgotten refund is written."""
    DISPUTE_ADOPTED = "dispute adopted"
    """A forgotten dispute is written."""
    FENCE_REOPENED = "fence reopened"
    """All is adopted, and the fence is open."""

    # what people ask for
    COMMAND_RECORDED = "command recorded"
    """A command's change is committed together with its line in the audit log."""
    CATALOG_APPLIED = "catalog applied"
    """Plans are published."""
    COUPON_REDEEMED = "coupon redeemed"
    """A coupon is redeemed."""
    USAGE_GIVEN_BACK = "usage given back"
    """What usage was billed too much for is given back."""
    SUBSCRIBED = "subscribed"
    """A subscription is written."""
    SUBSCRIPTION_CANCELED = "subscription canceled"
    """A subscription is canceled, now or at its period's end."""
    SUBSCRIPTION_PAUSED = "subscription paused"
    """A subscription is paused."""
    SUBSCRIPTION_RESUMED = "subscription resumed"
    """A subscription goes on."""
    SUBSCRIPTION_CHANGED = "subscription changed"
    """A change of what is held is written, and what it costs at once is invoiced."""
    CHANGE_WITHDRAWN = "change withdrawn"
    """A change that didn't hold yet is taken back."""
    ACCOUNT_NAMED = "account named"
    """A subscription names another account, or none."""
    SUBSCRIPTION_REANCHORED = "subscription reanchored"
    """A subscription follows the rules of its zone as they are today."""
    SUBSCRIPTION_RELEASED = "subscription released"
    """A parked subscription is due again."""
    PAYMENT_RELEASED = "payment released"
    """A parked payment is due again."""
    PAYMENT_RETRIED = "payment retried"
    """A payment is due for an attempt by hand."""
    BREAK_ANNOTATED = "break annotated"
    """A note on a break is written."""
    BREAK_ASSIGNED = "break assigned"
    """A break is assigned."""
    BREAK_RESOLVED = "break resolved"
    """A break is resolved, with its adjustment."""
    RATE_RECORDED = "rate recorded"
    """An operator's exchange rate is booked."""

    # usage
    USAGE_COUNTED = "usage counted"
    """Events of a batch are counted, and nobody was answered."""
    USAGE_ALERTED = "usage alerted"
    """Usage that passed a threshold is noted."""
    USAGE_DAY_SEALED = "usage day sealed"
    """What a day of usage came to is kept, and its events are gone."""
    USAGE_IDS_FORGOTTEN = "usage ids forgotten"
    """Ids of usage that were received long ago are gone."""


_act: Callable[[CrashPoint], None] | None = None


def reached(point: CrashPoint) -> None:
    """Mark a place."""
    if _act is not None:
        _act(point)


class marked:  # noqa: N801  reads as the statement it is
    """Marks the place behind a block: `with marked(CrashPoint.X), engine.begin() as conn:`.

    It stands first, so that the transaction is committed by then. A block that raises reaches no
    point.
    """

    __slots__ = ("_point",)

    def __init__(self, point: CrashPoint) -> None:
        self._point = point

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            reached(self._point)
