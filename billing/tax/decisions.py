"""Decisions on taxes, as they are stored."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Final
from uuid import UUID

from billing.ids import derived_id
from billing.pricing import Tax, tax_from_json, tax_to_json
from billing.rules.periods import to_utc
from billing.tax.deciding import decide
from billing.tax.external import EXTERNAL, ExternalAnswer, taxes_of
from billing.tax.requests import TaxRequest, digest_of_request

_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TaxDecision:
    """What was decided on a request: both as documents, and until when it may be used.

    `provider_ref` is what an external provider calls it.
    """

    id: UUID
    provider: str
    request: str
    request_digest: str
    response: str
    valid_until: datetime | None = None
    provider_ref: str | None = None

    @property
    def taxes(self) -> tuple[Tax, ...]:
        """The taxes that an invoice bears by it."""
        return read_response(self.response)


def table_decision(request: TaxRequest) -> TaxDecision:
    """Return the decision by the catalog's rates; equal requests make the same.

    Raises: Undecided.
    """
    document = request.document()
    digest = digest_of_request(document)
    midnight = to_utc(datetime.combine(request.on, time()), "UTC")
    return TaxDecision(
        id=derived_id("tax_decision", UUID(digest[:32]), 0, midnight),
        provider=request.provider,
        request=document,
        request_digest=digest,
        response=response_text(decide(request)),
    )


def external_decision(call_id: UUID, request: str, answer: ExternalAnswer) -> TaxDecision:
    """Return the decision that the answer to a call makes; `request` is its document."""
    return TaxDecision(
        id=derived_id("tax_decision", call_id, 0, _NO_TIME),
        provider=EXTERNAL,
        request=request,
        request_digest=digest_of_request(request),
        response=answer.document(),
        valid_until=answer.expires_at,
        provider_ref=answer.calculation,
    )


def response_text(taxes: Sequence[Tax]) -> str:
    """Return the canonical JSON of decided taxes."""
    return json.dumps([tax_to_json(each) for each in taxes], sort_keys=True, separators=(",", ":"))


def read_response(text: str) -> tuple[Tax, ...]:
    """Read decided taxes back, also a provider's. Raises: ValueError, KeyError, TypeError."""
    data = json.loads(text)
    if isinstance(data, dict):
        return taxes_of(ExternalAnswer.from_document(text))
    return tuple(tax_from_json(each) for each in data)
