"""Flows of credit notes: issued by an operator and by a caller, and the refund of one."""

from typing import Final
from uuid import UUID

from billing.flows.audit import audited
from billing.flows.credit_notes import issuing
from billing.flows.credit_notes.drafting import Asked
from billing.flows.service.credit_notes import CreditNoteApi, NoteOrder
from billing.ids import new_id
from billing.pricing import Return
from billing.rules.credit_notes import Destination
from tests.delivery.crash.flow import flow
from tests.delivery.crash.flows import CALLER, OPERATOR, paid, tick, with_key, work
from tests.scenarios.world import World

GROUP: Final = "credit notes"
PART: Final = Asked(lines=[Return(0, 1000)])


def _invoice(world: World) -> UUID:
    found: UUID = world.invoices(paid(world))[0].id
    return found


def _wanted(world: World) -> tuple[UUID, UUID]:
    """Return the invoice and the id of its note, which a repetition names again."""
    return _invoice(world), new_id()


def _issue(world: World, wanted: tuple[UUID, UUID], destination: Destination) -> None:
    invoice_id, note_id = wanted
    with audited(
        world.engine, actor=OPERATOR, action="credit_note.create", subject=str(invoice_id), why="-"
    ) as conn:
        issuing.issue(
            conn,
            invoice_id,
            PART,
            destination=destination,
            reason="an outage",
            actor=OPERATOR,
            now=world.now,
            note_id=note_id,
        )


@flow("a credit note to credit", _wanted, again=True, group=GROUP)
def _to_credit(world: World, wanted: tuple[UUID, UUID]) -> None:
    _issue(world, wanted, Destination.CREDIT)


@flow("a credit note to the card", _wanted, again=True, group=GROUP)
def _to_card(world: World, wanted: tuple[UUID, UUID]) -> None:
    _issue(world, wanted, Destination.REFUND)


@flow("a credit note that was paid outside", _wanted, again=True, group=GROUP)
def _outside(world: World, wanted: tuple[UUID, UUID]) -> None:
    _issue(world, wanted, Destination.OUTSIDE)


@flow(
    "a caller's credit note",
    lambda w: with_key(w, _invoice(w)),
    again=True,
    group=GROUP,
)
def _by_caller(world: World, keyed: tuple[str, UUID]) -> None:
    key, invoice_id = keyed
    order = NoteOrder(Destination.CREDIT, lines=[(1, 1000)])
    CreditNoteApi(world.runtime.context).issue(CALLER, key, str(invoice_id), order)


def _refund_of_note(world: World) -> UUID:
    wanted = _wanted(world)
    _issue(world, wanted, Destination.REFUND)
    tick(world)
    return wanted[0]


flow("the refund of a credit note", _refund_of_note, group=GROUP)(work)
