"""What customers, shops and operators ask the engine for, as programs and commands do.

Whoever got no answer asks again. What was carried out is a `Fact` for the model, with the moment by
the clock of who asked.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal
from uuid import NAMESPACE_OID, UUID, uuid5

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from billing.api.serving import ThreadWorker
from billing.errors import BillingError, Conflict, ErrorCode, Unavailable
from billing.flows.credit import granting
from billing.flows.customers import customers
from billing.flows.recovery import recovering
from billing.flows.refunds import requesting
from billing.flows.service.callers import Caller
from billing.flows.service.idempotency import (
    DECLINED,
    PENDING,
    REFUSED,
    KeyedAnswer,
    RequestInFlight,
)
from billing.flows.service.orders import ChargeOrder
from billing.flows.service.payments import PaymentApi
from billing.flows.subscriptions import lifecycle, releasing, retrying, subscribing
from billing.flows.usage.book import UsageBook
from billing.rules.money import Money
from tests.simulation import ordering, placing, selling, using
from tests.simulation.catalog import ADDONS, Product
from tests.simulation.events import BEGINNING, Event
from tests.simulation.processes import Job, Process
from tests.simulation.selling import (
    OPERATOR,
    WHY,
    NothingThere,
    OrderedChange,
    OrderedNote,
    OrderedWithdrawal,
)

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

Ordered = OrderedChange | OrderedNote | OrderedWithdrawal | None
SHOP: Final = Caller("simulated", "shop")
TRIES: Final = 8


@dataclass(frozen=True)
class Fact:
    """Something that was carried out."""

    at: datetime
    event: Event
    number: int
    charged: "Charged | None" = None
    ordered: "Ordered" = None
    moments: Sequence[datetime] = ()
    """When it was asked for, once a try."""
    sent: Sequence[using.Sent] = ()
    """Of usage: what the answer says of each event."""
    answered: datetime = BEGINNING


class Refused(Exception):
    """The engine refused what was asked for, and says why."""


@dataclass
class Charged:
    """What a shop was told of a charge of its own: what it captured and what it gave back."""

    payment: str = ""
    amount: int = 0
    captured: int = 0
    refunded: int = 0
    declined: bool = False


@dataclass
class Asked:
    """An event on its way through the engine."""

    event: Event
    number: int
    moments: list[datetime] = field(default_factory=list)
    """When it was asked for, once a try."""
    charged: Charged | None = None
    """Of a charge by a shop: what became of it so far."""
    ordered: "Ordered" = None
    """Of a change or a note: what the first try asked for."""
    sent: Sequence[using.Sent] = ()
    """Of usage: what the answer says of each event."""

    @property
    def at(self) -> datetime:
        return self.moments[-1]


class Asking(Process):
    """Somebody who asks for things, one after the other."""

    def __init__(self, simulation: "Simulation", name: str) -> None:
        self.waiting: list[Asked] = []
        self.current: Asked | None = None
        super().__init__(simulation, name)

    def begin(self) -> None:
        super().begin()
        self.book = UsageBook()

    def job(self) -> Job | None:
        return self._ask if self.waiting else None

    def _ask(self) -> None:
        self.current = asked = self.waiting.pop(0)
        asked.moments.append(self.runtime.clock.now())
        try:
            FLOWS[asked.event.kind](self, asked)
        except (DBAPIError, Unavailable, RequestInFlight) as error:
            self._after_error(asked, error)
        except (BillingError, Refused, NothingThere) as error:
            self._refused(asked, error)
        else:
            self._done(asked)
        self.current = None

    def _refused(self, asked: Asked, error: Exception) -> None:
        code = getattr(error, "code", None)
        if code is ErrorCode.SERVED_NOT_BILLED and len(asked.moments) < TRIES:
            self.waiting[:0] = [Asked(Event(asked.event.at, "release"), -1), asked]
        else:
            self.simulation.refused(asked, error)

    def _after_error(self, asked: Asked, error: Exception) -> None:
        """Go on where the transaction was committed all the same, else ask again."""
        if asked.event.kind in ONE_TRANSACTION and self.actor.commits:
            self._done(asked)
        elif len(asked.moments) < TRIES or not self._gives_up_on(asked):
            self.waiting.append(asked)
        else:
            self.simulation.refused(asked, error)

    def _gives_up_on(self, asked: Asked) -> bool:
        """Tell whether nobody goes on asking.

        A recovery is never left, because nothing is sent before; usage may be counted already.
        """
        return self.simulation.faulty and asked.event.kind not in ("recover", "usage")

    def _done(self, asked: Asked) -> None:
        self.simulation.carried_out(
            Fact(
                asked.at,
                asked.event,
                asked.number,
                asked.charged,
                asked.ordered,
                asked.moments,
                asked.sent,
                self.simulation.now,
            )
        )

    def restart(self) -> None:
        """Whoever asked sees no answer, looks what became of it, and asks again if nothing did."""
        asked, self.current = self.current, None
        if asked is not None:
            if asked.event.kind in ONE_TRANSACTION and self.actor.commits:
                self._done(asked)
            else:
                self.waiting.insert(0, asked)
        super().restart()

    # --- what there is to look up ---------------------------------------------------------------

    def payment_of(self, event: Event) -> tuple[UUID, str, int, str]:
        """Return the newest payment of a customer that was captured. Raises: Refused."""
        with self.runtime.engine.connect() as conn:
            row = conn.execute(_CAPTURED, {"who": f"c{event.who}"}).first()
        if row is None:
            raise Refused("nothing was captured")
        return row.id, row.provider_payment_id, row.amount, row.currency


_CAPTURED: Final = text(
    "SELECT p.id, p.provider_payment_id, p.amount, p.currency FROM payments p"
    "  JOIN customers c ON c.id = p.customer_id JOIN invoices i ON i.id = p.invoice_id"
    " WHERE c.external_id = :who AND p.captured_at IS NOT NULL AND i.kind <> 'top_up'"
    " ORDER BY p.captured_at DESC, p.id DESC LIMIT 1"
)


def _subscription(asked: Asked) -> str:
    return f"s{asked.event.who}"


def _subscribe(by: Asking, asked: Asked) -> None:
    event = asked.event
    name = f"c{event.customer}"
    product = by.simulation.products[event.plan]
    seats = product.seats
    try:
        if event.card:
            customers.create(
                by.runtime.context,
                name=name,
                external_id=name,
                payment_method=event.card,
                customer_id=uuid5(NAMESPACE_OID, f"{by.simulation.seed} {name}"),
            )
            if by.simulation.taxed:
                placing.say_place(by, asked)
        subscribing.subscribe(
            by.runtime.engine,
            subscribing.SubscriptionOrder(
                customer=name,
                plan=event.plan,
                currency=event.currency,
                quantity=1 if seats else event.quantity,
                items=({seats.code: event.quantity} if seats else {}) | addons_of(event, product),
                zone=event.zone,
                external_id=_subscription(asked),
                coupons=(event.coupon,) if event.coupon else (),
            ),
            now=asked.at,
            actor=OPERATOR,
        )
    except Conflict as error:
        if error.code is not ErrorCode.SUBSCRIPTION_EXISTS:
            raise
        with by.runtime.engine.connect() as conn:
            began = conn.execute(_CREATED, {"reference": _subscription(asked)}).scalar_one()
        assert began in asked.moments, f"{asked} began at {began}"
        asked.moments.append(began)  # an earlier try made it


_CREATED: Final = text("SELECT created_at FROM subscriptions WHERE external_id = :reference")


def addons_of(event: Event, product: Product) -> dict[str, int]:
    """Return how many of the add-on that fits a plan are held from the start."""
    fitting = [each.code for each in ADDONS.values() if each.every == product.every]
    return dict.fromkeys(fitting, event.addon) if event.addon > 0 else {}


def _change(do: Callable[..., object]) -> Callable[[Asking, Asked], None]:
    def change(by: Asking, asked: Asked) -> None:
        do(by.runtime.engine, _subscription(asked), now=asked.at, actor=OPERATOR, why=WHY)

    return change


def _cancel(by: Asking, asked: Asked, *, at_period_end: bool = False) -> None:
    lifecycle.cancel(
        by.runtime.engine,
        _subscription(asked),
        at_period_end=at_period_end,
        now=asked.at,
        actor=OPERATOR,
        why=WHY,
        policy=by.runtime.policy,
    )


def _cancel_at_period_end(by: Asking, asked: Asked) -> None:
    _cancel(by, asked, at_period_end=True)


def _new_card(by: Asking, asked: Asked) -> None:
    customers.set_payment_method(by.runtime.context, f"c{asked.event.who}", asked.event.card)


def _refund(by: Asking, asked: Asked) -> None:
    payment_id, _, amount, currency = by.payment_of(asked.event)
    part = None
    if asked.event.part:
        part = Money(max(10, amount * asked.event.part // 100 // 10 * 10), currency)
    with by.runtime.engine.begin() as conn:
        requesting.request(
            conn,
            payment_id,
            amount=part,
            reason=WHY,
            actor=OPERATOR,
            now=asked.at,
            refund_id=uuid5(NAMESPACE_OID, f"{by.simulation.seed} refund {asked.number}"),
        )


def _retry(by: Asking, asked: Asked) -> None:
    with by.runtime.engine.connect() as conn:
        row = conn.execute(_UNPAID, {"who": f"c{asked.event.who}"}).first()
    if row is None:
        raise Refused("nothing is owed")
    retrying.retry(by.runtime.engine, row.id, now=asked.at, actor=OPERATOR, why=WHY)


_UNPAID: Final = text(
    "SELECT p.id FROM payments p JOIN customers c ON c.id = p.customer_id"
    " WHERE c.external_id = :who AND p.state IN ('CREATED', 'FAILED')"
    "   AND p.invoice_id IS NOT NULL"
    " ORDER BY p.created_at DESC, p.id DESC LIMIT 1"
)


def _grant(by: Asking, asked: Asked) -> None:
    """Give credit to a customer, under an id of the operator's own."""
    event, subscription = asked.event, _subscription(asked)
    grant_id = uuid5(NAMESPACE_OID, f"{by.simulation.seed} grant {asked.number}")
    with by.runtime.engine.connect() as conn:
        currency = conn.execute(_CURRENCY, {"reference": subscription}).scalar()
        given = conn.execute(_GIVEN, {"id": grant_id}).scalar()
    if currency is None:
        raise Refused("there is no such customer")
    if given is not None:
        asked.moments.append(given)  # an earlier try made it
        return
    order = granting.GrantOrder(
        f"c{event.who}",
        event.amount,
        currency,
        WHY,
        priority=event.priority,
        expires=asked.at + timedelta(days=event.days) if event.days else None,
        id=grant_id,
    )
    granting.grant(by.runtime.engine, order, now=asked.at, actor=OPERATOR)


_CURRENCY: Final = text("SELECT currency FROM subscriptions WHERE external_id = :reference")
_GIVEN: Final = text("SELECT created_at FROM credit_grants WHERE id = :id")


# --- a shop that charges by itself ---------------------------------------------------------------


def _charge(by: Asking, asked: Asked) -> None:
    """Charge, and do what the shop does with the charge then, each under a key of its own."""
    event = asked.event
    api = PaymentApi(by.runtime.context, ThreadWorker(by.runtime, by.simulation.metrics))
    key = f"{by.simulation.seed}-{asked.number}-".replace(" ", "")
    amount = 100 * (10 + event.part)
    told = asked.charged = asked.charged or Charged(amount=amount)
    order = ChargeOrder(
        amount,
        event.currency,
        customer=f"c{event.who}",
        capture="manual" if event.then.startswith("authorize") else "automatic",
    )
    charged = _answered(api.charge(SHOP, key + "charge", order))
    told.payment = str(charged.body["id"])
    if charged.status in (DECLINED, REFUSED):
        told.declined = True
        return
    payment_id = UUID(told.payment)
    part = amount * event.part // 100 // 10 * 10
    match event.then:
        case "authorize, capture":
            answer = _answered(api.capture(SHOP, key + "capture", payment_id))
            told.captured = amount if answer.status != REFUSED else 0
        case "authorize, capture a part":
            answer = _answered(api.capture(SHOP, key + "capture", payment_id, part))
            told.captured = part if answer.status != REFUSED else 0
        case "authorize, void":
            _answered(api.void(SHOP, key + "void", payment_id))
        case "refund":
            told.captured = amount
            answer = _answered(api.refund(SHOP, key + "refund", payment_id, part, "as asked"))
            told.refunded = part if answer.status != REFUSED else 0
        case _:
            told.captured = amount


def _answered(answer: KeyedAnswer) -> KeyedAnswer:
    """Return an answer that is final. Raises `Unavailable`: the shop asks again."""
    if answer.status == PENDING:
        raise Unavailable("its outcome isn't known yet")
    return answer


# --- what operators do --------------------------------------------------------------------------


def _release_parked(by: Asking, asked: Asked) -> None:
    """Do what an operator does about everything that is parked: bill it."""
    with by.runtime.engine.connect() as conn:
        subscriptions = conn.execute(_PARKED_SUBSCRIPTIONS).scalars().all()
        payments = conn.execute(_PARKED_PAYMENTS).scalars().all()
    for reference in subscriptions:
        try:
            _release(by, reference, "bill", asked.at)
        except Conflict as error:
            if error.code is ErrorCode.NO_PERIOD_MISSED:
                _release(by, reference, None, asked.at)
    for payment_id in payments:
        with suppress(Conflict):  # somebody else did
            releasing.release_payment(by.runtime.engine, payment_id, now=asked.at)


def _release(by: Asking, reference: str, missed: Literal["bill"] | None, now: datetime) -> None:
    releasing.release_subscription(
        by.runtime.engine,
        reference,
        missed=missed,
        now=now,
        actor=OPERATOR,
        policy=by.runtime.policy,
    )


_PARKED_SUBSCRIPTIONS: Final = text(
    "SELECT external_id FROM subscriptions WHERE parked_at IS NOT NULL ORDER BY external_id"
)
_PARKED_PAYMENTS: Final = text("SELECT id FROM payments WHERE parked_at IS NOT NULL ORDER BY id")


def _recover(by: Asking, asked: Asked) -> None:
    """Do what the page of operations says after a restore."""
    context = by.runtime.context.at_provider("stripe")
    prepared = recovering.prepare(context)
    done = list(recovering.recover(context, prepared))
    if not recovering.finish(context, prepared, done):
        raise Unavailable(f"the recovery is held up: {[(each.result, each.why) for each in done]}")


FLOWS: Final[Mapping[str, Callable[[Asking, Asked], None]]] = {
    "subscribe": _subscribe,
    "pause": _change(lifecycle.pause),
    "resume": _change(lifecycle.resume),
    "cancel": _cancel,
    "cancel at period end": _cancel_at_period_end,
    "new card": _new_card,
    "refund": _refund,
    "retry": _retry,
    "grant": _grant,
    "coupon": selling.redeem,
    "change": selling.change,
    "withdraw": selling.withdraw,
    "note": selling.give_back,
    "invoice": ordering.invoice,
    "top up": ordering.top_up,
    "usage": using.send,
    "tax facts": placing.say_place,
    "charge": _charge,
    "release": _release_parked,
    "recover": _recover,
}
ONE_TRANSACTION: Final = frozenset(
    {
        "pause",
        "resume",
        "cancel",
        "cancel at period end",
        "refund",
        "retry",
        "grant",
        "coupon",
        "change",
        "withdraw",
        "note",
        "invoice",
        "top up",
        "tax facts",
    }
)
