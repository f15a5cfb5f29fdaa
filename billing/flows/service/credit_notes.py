"""Credit notes for callers of the API: once a key, audited."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.credit_notes import issuing
from billing.flows.credit_notes.drafting import Asked
from billing.flows.customers.customers import refuse_anything_like_a_card
from billing.flows.service import views
from billing.flows.service.callers import Audited, Caller
from billing.flows.service.idempotency import MADE, KeyedAnswer
from billing.flows.service.lookup import existing_invoice
from billing.pricing import Return
from billing.rules.credit_notes import Destination


@dataclass(frozen=True, slots=True)
class NoteOrder:
    """What a caller asks for: lines by number with how much of each, a share of all, or neither.

    Without both it is all that is left. Amounts are minor units of a line's gross.
    """

    destination: Destination
    lines: Sequence[tuple[int, int | None]] = ()
    share: tuple[int, int] | None = None
    reason: str = ""

    @property
    def asked(self) -> Asked:
        """What the note is to give back."""
        lines = [Return(number - 1, amount) for number, amount in self.lines]
        return Asked(lines=lines, share=self.share)


class CreditNoteApi(Audited):
    """The service of credit notes that HTTP calls, as `PaymentApi` is the one for payments."""

    def issue(self, caller: Caller, key: str, invoice: str, order: NoteOrder) -> KeyedAnswer:
        """Issue a credit note of an invoice, by id or number, once a key.

        201: it is issued; a refund of it is sent by a worker. Raises `KeyReused`,
        `RequestInFlight`, `BadInput`, `NotFound`, `Conflict`.
        """
        refuse_anything_like_a_card(reason=order.reason)
        given = {
            "invoice": invoice,
            "destination": str(order.destination),
            "lines": [list(line) for line in order.lines],
            "share": None if order.share is None else list(order.share),
            "reason": order.reason,
        }
        now = self.context.clock.now()

        def work(conn: Connection) -> KeyedAnswer:
            found: UUID = existing_invoice(conn, invoice).id
            note = issuing.issue(
                conn,
                found,
                order.asked,
                destination=order.destination,
                reason=order.reason or "no reason given",
                actor=caller.actor,
                now=now,
            )
            detail = {
                "destination": str(note.destination),
                "credit_note": str(note.id),
                "amount": note.total,
                "currency": note.currency,
            }
            self._audit(conn, caller, "credit_note.create", found, order.reason, detail)
            return KeyedAnswer(MADE, views.credit_note_with_lines(conn, note.id))

        return self._once(caller, key, "credit_notes.create", given, work)
