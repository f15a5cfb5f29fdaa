"""Acts on payments and subscriptions: each is shown first, with what it does, then confirmed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection
from starlette.responses import Response

from billing.console import links, references
from billing.console.requests import ConsolePage, PageRequest, Parameters, go
from billing.errors import BadInput
from billing.flows.audit import audited
from billing.flows.context import Joined
from billing.flows.refunds import requesting
from billing.flows.service.api_keys import Scope
from billing.flows.subscriptions import lifecycle, releasing, retrying
from billing.ids import new_id
from billing.presenters import acts
from billing.queries import payments
from billing.queries.payments import Payment
from billing.queries.references import Noun
from billing.rules.money import Money, parse_money

Detail = dict[str, object]
_MISSED: Final = (
    ("", "are left to its catch-up policy"), ("bill", "are billed"), ("skip", "are passed over"),
)  # fmt: skip
_ENDS: Final = (("end", "when the open period ends"), ("now", "at once"))


@dataclass(frozen=True, slots=True)
class ActField:
    """One thing that an act asks for; of a few choices, the first where nothing is chosen."""

    name: str
    label: str
    help: str = ""
    choices: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Act:
    """What may be done to a thing: what it asks for, what it would do, and doing it.

    `preview` changes nothing that stays: its transaction is rolled back.
    """

    name: str
    title: str
    noun: Noun
    action: str
    needs: Scope
    preview: Callable[[Connection, PageRequest, UUID, Parameters], str]
    do: Callable[[Connection, PageRequest, UUID, Parameters], Detail]
    asks: Sequence[ActField] = ()


# --- payments -----------------------------------------------------------------------------------


def _payment(conn: Connection, payment_id: UUID) -> Payment:
    found = payments.payment(conn, payment_id)
    assert found is not None, "it was found a moment ago"
    return found


def _amount(payment: Payment, given: Parameters) -> Money | None:
    typed = given.get("amount")
    try:
        return parse_money(typed, payment.currency) if typed else None
    except ValueError as error:
        raise BadInput(f"{error}; write it like 9.99", where="amount") from None


def _refund_words(
    conn: Connection, request: PageRequest, payment_id: UUID, given: Parameters
) -> str:
    payment = _payment(conn, payment_id)
    money = requesting.room_for(conn, payment, _amount(payment, given))
    return f"refund {money} of payment {payment_id}"


def _refund(conn: Connection, request: PageRequest, payment_id: UUID, given: Parameters) -> Detail:
    payment = _payment(conn, payment_id)
    made = requesting.request(
        conn,
        payment_id,
        amount=requesting.room_for(conn, payment, _amount(payment, given)),
        reason=given.get("reason"),
        actor=request.person.actor,
        now=request.now,
        refund_id=_once(given),
    )
    return {"refund": str(made.id), "amount": made.amount, "currency": made.currency}


def _once(given: Parameters) -> UUID:
    """Return the id under which a form that is sent twice acts once."""
    try:
        return UUID(given.get("once"))
    except ValueError:
        raise BadInput("it is no id", where="once") from None


def _retry_words(
    conn: Connection, request: PageRequest, payment_id: UUID, given: Parameters
) -> str:
    tried = retrying.retry(
        Joined(conn), payment_id, now=request.now, actor=request.person.actor, why="", dry_run=True
    )
    return f"try payment {payment_id} again now ({tried.state}); no rung of the ladder is used"


def _retry(conn: Connection, request: PageRequest, payment_id: UUID, given: Parameters) -> Detail:
    why, now = given.get("reason"), request.now
    done = retrying.retry(Joined(conn), payment_id, now=now, actor=request.person.actor, why=why)
    return {"was": str(done.state)}


def _release_payment_words(
    conn: Connection, request: PageRequest, payment_id: UUID, given: Parameters
) -> str:
    releasing.release_payment(Joined(conn), payment_id, now=request.now)
    return f"release payment {payment_id} and try it again now"


def _release_payment(
    conn: Connection, request: PageRequest, payment_id: UUID, given: Parameters
) -> Detail:
    releasing.release_payment(Joined(conn), payment_id, now=request.now)
    return {}


# --- subscriptions ------------------------------------------------------------------------------


def _missed(given: Parameters) -> Literal["bill", "skip"] | None:
    match given.get("missed"):
        case "":
            return None
        case "bill":
            return "bill"
        case "skip":
            return "skip"
        case _:
            raise BadInput("it is bill or skip, or nothing", where="missed")


def _release_words(
    conn: Connection, request: PageRequest, subscription_id: UUID, given: Parameters
) -> str:
    missed = _missed(given)
    return acts.release(
        releasing.plan_release(conn, subscription_id, missed=missed, now=request.now)
    )


def _release(
    conn: Connection, request: PageRequest, subscription_id: UUID, given: Parameters
) -> Detail:
    done = releasing.release_subscription(
        Joined(conn),
        str(subscription_id),
        missed=_missed(given),
        now=request.now,
        actor=request.person.actor,
        policy=request.console.runtime.policy,
    )
    return {"missed": done.missed, "periods": done.periods}


def _at_period_end(given: Parameters) -> bool:
    when = given.get("when") or "end"
    if when not in dict(_ENDS):
        raise BadInput("it is end or now", where="when")
    return when == "end"


def _cancel_words(
    conn: Connection, request: PageRequest, subscription_id: UUID, given: Parameters
) -> str:
    plan = lifecycle.plan_cancel(
        conn,
        subscription_id,
        at_period_end=_at_period_end(given),
        now=request.now,
        policy=request.console.runtime.policy,
    )
    return acts.cancel(plan, forgive=False)


def _cancel(
    conn: Connection, request: PageRequest, subscription_id: UUID, given: Parameters
) -> Detail:
    at_end = _at_period_end(given)
    lifecycle.cancel(
        Joined(conn),
        str(subscription_id),
        at_period_end=at_end,
        now=request.now,
        actor=request.person.actor,
        why=given.get("reason"),
        policy=request.console.runtime.policy,
    )
    return {"at_period_end": at_end}


def _pause(
    conn: Connection, request: PageRequest, subscription_id: UUID, given: Parameters
) -> Detail:
    lifecycle.pause(
        Joined(conn),
        str(subscription_id),
        now=request.now,
        actor=request.person.actor,
        why=given.get("reason"),
    )
    return {}


def _pause_words(
    conn: Connection, request: PageRequest, subscription_id: UUID, given: Parameters
) -> str:
    _pause(conn, request, subscription_id, given)
    return f"pause subscription {subscription_id} from its next period on, until it is resumed"


def _resume(
    conn: Connection, request: PageRequest, subscription_id: UUID, given: Parameters
) -> Detail:
    lifecycle.resume(
        Joined(conn),
        str(subscription_id),
        now=request.now,
        actor=request.person.actor,
        why=given.get("reason"),
    )
    return {}


def _resume_words(
    conn: Connection, request: PageRequest, subscription_id: UUID, given: Parameters
) -> str:
    _resume(conn, request, subscription_id, given)
    return f"let subscription {subscription_id} go on"


# --- pages --------------------------------------------------------------------------------------

ACTS: Final = (
    Act("refund", "Give money back", "payment", "payment.refund", Scope.REFUND,
        _refund_words, _refund,
        (ActField("amount", "Amount", "Like 9.99, in the payment's currency; all that is left of it"
               " if empty."),)),
    Act("retry", "Try it again now", "payment", "payment.retry", Scope.OPERATE,
        _retry_words, _retry),
    Act("release", "Release it", "payment", "payment.release", Scope.OPERATE,
        _release_payment_words, _release_payment),
    Act("release", "Release it", "subscription", "subscription.release", Scope.OPERATE,
        _release_words, _release, (ActField("missed", "Missed periods", choices=_MISSED),)),
    Act("cancel", "Cancel it", "subscription", "subscription.cancel", Scope.OPERATE,
        _cancel_words, _cancel, (ActField("when", "It ends", choices=_ENDS),)),
    Act("pause", "Pause it", "subscription", "subscription.pause", Scope.OPERATE,
        _pause_words, _pause),
    Act("resume", "Let it go on", "subscription", "subscription.resume", Scope.OPERATE,
        _resume_words, _resume),
)  # fmt: skip
_OF: Final[Mapping[Noun, str]] = {"payment": "payments", "subscription": "subscriptions"}


def _preview(act: Act, request: PageRequest) -> Response:
    """Show what an act would do, and change nothing."""
    request.query.only(*(each.name for each in act.asks))
    with request.connect() as conn:
        found = references.find(conn, act.noun, request.path["reference"])
        words = act.preview(conn, request, found, request.query)
        conn.rollback()
    return request.page(
        "act.html",
        section=_OF[act.noun],
        act=act,
        words=words,
        back=links.to(act.noun, found),
        address=f"{links.to(act.noun, found)}/{act.name}",
        given={each.name: request.query.get(each.name) for each in act.asks},
        once=new_id(),
        may=request.person.may(act.needs),
    )


def _done(act: Act, request: PageRequest) -> Response:
    """Do it, in one transaction with its line in the audit log."""
    given = request.form
    given.only("reason", "once", *(each.name for each in act.asks))
    if not given.get("reason"):
        raise BadInput("an act has a reason, which is kept", where="reason")
    with request.connect() as conn:
        found = references.find(conn, act.noun, request.path["reference"])
    assert request.now.tzinfo is not None, "the clock is read before the transaction begins"
    detail: Detail = {}
    with audited(
        request.console.runtime.engine,
        actor=request.person.actor,
        action=act.action,
        subject=str(found),
        why=given.get("reason"),
        detail=detail,
    ) as conn:
        detail.update(act.do(conn, request, found, given))
    return go(links.to(act.noun, found))


def _pages(act: Act) -> tuple[ConsolePage, ConsolePage]:
    path = f"/{_OF[act.noun]}/{{reference}}/{act.name}"
    return (
        ConsolePage("GET", path, Scope.READ, lambda request: _preview(act, request)),
        ConsolePage("POST", path, act.needs, lambda request: _done(act, request)),
    )


PAGES: Final = tuple(page for act in ACTS for page in _pages(act))
