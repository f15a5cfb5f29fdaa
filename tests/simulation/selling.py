"""How coupons, changes of what is held, and credit notes are asked for.

What is asked for is settled with the first try, and every further one asks for the same under the
same id.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

from sqlalchemy import text

from billing.errors import Conflict, ErrorCode, Unavailable
from billing.flows.coupons import redeeming
from billing.flows.coupons.redeeming import CouponOrder
from billing.flows.credit_notes import drafting, issuing
from billing.flows.subscriptions import changing
from billing.flows.subscriptions.change_quotes import ChangeQuote
from billing.flows.subscriptions.changed_terms import ChangeOrder
from billing.pricing import Return
from billing.rules.actor import Actor, ActorKind
from billing.rules.credit_notes import Destination
from billing.rules.item_changes import Applies, ChangeAsked
from tests.simulation.catalog import ADDONS, Product
from tests.simulation.events import Event

if TYPE_CHECKING:
    from tests.simulation.asking import Asked, Asking

OPERATOR: Final = Actor(ActorKind.CLI, "operator")
WHY: Final = "the customer asked"


class NothingThere(Exception):
    """There is no such subscription, or nothing of it is paid."""


@dataclass(frozen=True)
class OrderedChange:
    """What a change asks for: another plan (""), quantities by item and add-on."""

    plan: str
    items: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class OrderedNote:
    """What a note is asked for: an invoice, and how much of one line, or of all.

    Without both it is all that is left.
    """

    invoice: UUID
    line: tuple[int, int] | None = None
    share: tuple[int, int] | None = None


@dataclass(frozen=True)
class OrderedWithdrawal:
    """The change that is to be taken back."""

    change: UUID


def id_of(seed: object, what: str, number: int) -> UUID:
    """Return the id under which something is asked for."""
    return uuid5(NAMESPACE_OID, f"{seed} {what} {number}")


# --- coupons ------------------------------------------------------------------------------------


def redeem(by: "Asking", asked: "Asked") -> None:
    """Redeem a coupon, for the subscription or for all of the customer."""
    event = asked.event
    order = CouponOrder(event.coupon, subscription=f"s{event.who}", why=WHY)
    if event.moves:
        order = CouponOrder(event.coupon, customer=f"c{event.who}", why=WHY)
    redeeming.redeem(by.runtime.engine, order, now=asked.at, actor=OPERATOR)


# --- changes ------------------------------------------------------------------------------------


def change(by: "Asking", asked: "Asked") -> None:
    """Change what a subscription holds; some look at a quote first, and accept that."""
    event, reference = asked.event, f"s{asked.event.who}"
    change_id = id_of(by.simulation.seed, "change", asked.number)
    with by.runtime.engine.connect() as conn:
        made = conn.execute(_CHANGED, {"id": change_id}).scalar()
        plan = conn.execute(_PLAN, {"reference": reference}).scalar()
    if made is not None:
        asked.moments.append(made)  # an earlier try made it
        return
    if not isinstance(asked.ordered, OrderedChange):
        if plan is None:
            raise NothingThere("there is no such subscription")
        asked.ordered = _ordered(by.simulation.products, event, plan)
    order = ChangeOrder(
        plan=asked.ordered.plan or None,
        items=asked.ordered.items,
        applies=Applies(event.then) if event.then else None,
    )
    quoted = _quoted(by, asked, reference, order) if event.moves else None
    asked.moments.append(by.runtime.clock.now())
    try:
        done = changing.change(
            by.runtime.engine,
            reference,
            order,
            change_id=change_id,
            now=asked.at,
            asked=ChangeAsked(asked.at, OPERATOR, WHY),
            policy=by.runtime.policy,
            digest=None if quoted is None else quoted.digest,
        )
    except Conflict as error:
        if error.code is ErrorCode.QUOTE_MOVED:
            raise Unavailable("the quote has moved: a new one is looked at") from error
        raise
    if quoted is not None:
        assert _amounts(done) == _amounts(quoted), f"{_amounts(quoted)} was quoted: {done}"


def withdraw(by: "Asking", asked: "Asked") -> None:
    """Take the newest change back that doesn't hold yet. Raises: NothingThere."""
    withdrawal_id = id_of(by.simulation.seed, "withdraw", asked.number)
    values = {"reference": f"s{asked.event.who}", "id": withdrawal_id, "now": asked.at}
    with by.runtime.engine.connect() as conn:
        made = conn.execute(_CHANGED, {"id": withdrawal_id}).scalar()
        coming = conn.execute(_COMING, values).scalar()
    if made is not None:
        asked.moments.append(made)
        return
    if not isinstance(asked.ordered, OrderedWithdrawal):
        if coming is None:
            raise NothingThere("nothing is to change")
        asked.ordered = OrderedWithdrawal(coming)
    changing.withdraw(
        by.runtime.engine,
        f"s{asked.event.who}",
        asked.ordered.change,
        withdrawal_id=withdrawal_id,
        asked=ChangeAsked(asked.at, OPERATOR, WHY),
    )


def _quoted(by: "Asking", asked: "Asked", reference: str, order: ChangeOrder) -> ChangeQuote:
    with by.runtime.engine.connect() as conn:
        quoted = changing.quote(conn, reference, order, now=asked.at, policy=by.runtime.policy)
    by.simulation.schedule.reach("a quote is looked at")
    return quoted


def _amounts(quoted: ChangeQuote) -> tuple[Any, ...]:
    draft = quoted.draft
    invoice = (
        None if draft is None else (draft.total, draft.due, [each.gross for each in draft.lines])
    )
    return quoted.applies, invoice, [each.drafted.note.total for each in quoted.notes]


def _ordered(products: Mapping[str, Product], event: Event, held: str) -> OrderedChange:
    """Return what is asked for: a quantity is of the item that the plan has one of."""
    product = products[event.plan or held]
    items = {}
    if event.quantity:
        if product.seats is not None:
            items[product.seats.code] = event.quantity
        elif product.is_counted:
            items["base"] = event.quantity
    if event.addon >= 0:
        items |= {each.code: event.addon for each in ADDONS.values() if each.every == product.every}
    return OrderedChange(event.plan, items)


_CHANGED: Final = text("SELECT asked_at FROM subscription_changes WHERE change_id = :id")
_COMING: Final = text(
    "SELECT c.change_id FROM subscription_changes c"
    "  JOIN subscriptions s ON s.id = c.subscription_id"
    " WHERE s.external_id = :reference AND c.kind IN ('quantity', 'plan')"
    "   AND c.holds_from > CAST(:now AS timestamptz) - interval '10 minutes'"
    "   AND c.applies = 'period_end' ORDER BY c.id DESC LIMIT 1"
)
_PLAN: Final = text("SELECT plan FROM subscriptions WHERE external_id = :reference")


# --- credit notes -------------------------------------------------------------------------------


def give_back(by: "Asking", asked: "Asked") -> None:
    """Issue a credit note of the newest invoice that is paid. Raises: NothingThere."""
    event = asked.event
    note_id = id_of(by.simulation.seed, "note", asked.number)
    with by.runtime.engine.connect() as conn:
        made = conn.execute(_NOTED, {"id": note_id}).scalar()
        paid = conn.execute(_PAID, {"who": f"c{event.who}"}).first()
    if made is not None:
        asked.moments.append(made)
        return
    if not isinstance(asked.ordered, OrderedNote):
        if paid is None:
            raise NothingThere("nothing was paid")
        asked.ordered = _ordered_note(event, paid.id, paid.gross)
    order = asked.ordered
    lines = [] if order.line is None else [Return(*order.line)]
    with by.runtime.engine.begin() as conn:
        issuing.issue(
            conn,
            order.invoice,
            drafting.Asked(lines=lines, share=order.share),
            destination=Destination(event.then),
            reason=WHY,
            actor=OPERATOR,
            now=asked.at,
            note_id=note_id,
        )


def _ordered_note(event: Event, invoice: UUID, gross: int) -> OrderedNote:
    if not event.part:
        return OrderedNote(invoice)
    if event.moves:
        return OrderedNote(invoice, share=(event.part, 100))
    return OrderedNote(invoice, line=(0, gross * event.part // 100 // 10 * 10))


_NOTED: Final = text("SELECT created_at FROM credit_notes WHERE id = :id")
_PAID: Final = text(
    "SELECT i.id, l.gross FROM invoices i JOIN customers c ON c.id = i.customer_id"
    "  JOIN invoice_lines l ON l.invoice_id = i.id AND l.line = 1"
    " WHERE c.external_id = :who AND i.status = 'paid' AND i.total > 0"
    "   AND i.kind <> 'top_up'"
    " ORDER BY i.issued_at DESC, i.number DESC LIMIT 1"
)
