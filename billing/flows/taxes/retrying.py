"""Letting what a provider refused to record be sent again, once somebody has put it right."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import Conflict, ErrorCode, NotFound
from billing.store.payments import tax_calls
from billing.store.payments.tax_calls import TaxCall
from billing.tax.calls import TaxCallKind, TaxCallState


def retry(conn: Connection, call_id: UUID, now: datetime) -> TaxCall:
    """Let a refused record or reversal be sent again, in the caller's transaction.

    Raises: NotFound, Conflict.
    """
    if tax_calls.get(conn, call_id) is None:
        raise NotFound(
            f"no call about taxes {call_id}",
            where="call",
            code=ErrorCode.TAX_CALL_NOT_FOUND,
            call_id=call_id,
        )
    call = tax_calls.lock(conn, call_id)
    if call.state is not TaxCallState.REFUSED or call.kind is TaxCallKind.CALCULATION:
        raise Conflict(
            f"call {call_id} about taxes is a {call.kind} that is {call.state}: only records and"
            " reversals that were refused are sent again",
            where="call",
            code=ErrorCode.TAX_CALL_NOT_REFUSED,
            call_id=call_id,
            kind=call.kind,
            state=call.state,
        )
    tax_calls.reopen(conn, call_id, now)
    return call
