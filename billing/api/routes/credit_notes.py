"""Credit notes of invoices."""

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from billing.api import invoice_schemas, request_schemas
from billing.api.routes.common import (
    BEARER,
    IdempotencyKey,
    InPath,
    Reader,
    Refunder,
    UsesServices,
    made,
    missing,
    respond,
    shown,
)
from billing.flows.service import views
from billing.flows.service.credit_notes import NoteOrder
from billing.flows.service.lookup import existing_invoice
from billing.queries import credit_notes

router = APIRouter(prefix="/v1", tags=["books"], dependencies=[Depends(BEARER)])


@router.post(
    "/invoices/{invoice}/credit-notes",
    status_code=201,
    responses=made(invoice_schemas.CreditNoteBody),
)
def create_credit_note(
    invoice: InPath,
    new: request_schemas.NewCreditNoteBody,
    key: IdempotencyKey,
    visitor: Refunder,
    services: UsesServices,
) -> JSONResponse:
    """Give back a paid invoice, or parts of it, once."""
    share = None if new.share is None else (new.share.part, new.share.whole)
    order = NoteOrder(
        destination=new.destination,
        lines=[(line.line, line.amount) for line in new.lines],
        share=share,
        reason=new.reason,
    )
    answer = services.credit_notes.issue(visitor.caller, key, invoice, order)
    return respond(services, answer, noun="credit_note", at="/v1/credit-notes")


@router.get("/invoices/{invoice}/credit-notes", responses=shown(invoice_schemas.CreditNotesBody))
def list_credit_notes(invoice: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """List the credit notes of an invoice, the oldest first."""
    with services.engine.connect() as conn:
        found = existing_invoice(conn, invoice)
        notes = credit_notes.credit_notes(conn, invoice_id=found.id, limit=10_000)
        data = [views.credit_note_with_lines(conn, note.id) for note in notes]
    return JSONResponse({"data": data})


@router.get("/credit-notes/{note}", responses=shown(invoice_schemas.CreditNoteBody))
def show_credit_note(note: InPath, _: Reader, services: UsesServices) -> JSONResponse:
    """Show a credit note, by id or number, with its lines and what became of it."""
    with services.engine.connect() as conn:
        found = credit_notes.find(conn, note)
        if found is None:
            missing("credit note", note)
        return JSONResponse(views.credit_note_with_lines(conn, found.id))
