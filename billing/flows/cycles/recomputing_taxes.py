"""Computing taxes again: decisions from requests, and what invoices bear from decisions."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from billing.flows.cycles.comparing_taxes import against_rates, of_places
from billing.plans.numbers import exact_text
from billing.plans.taxes import TaxRate
from billing.pricing import Facts, InvoiceDraft
from billing.rules.promises import Finding, FindingKind
from billing.store.promises import taxed
from billing.store.promises.invoiced import Invoiced
from billing.tax import TaxDecision, TaxRequest, Undecided, read_response, table_decision
from billing.tax.decisions import external_decision
from billing.tax.external import ExternalAnswer, ExternalRequest, answers, is_external

_ROWS_A_FETCH: Final = 2_000


def of_decisions(conn: Connection) -> Iterator[Finding]:
    """Yield the decisions that don't follow from their requests, or these from what was known."""
    published = taxed.rates(conn)
    for decision, at in taxed.decisions(conn, _ROWS_A_FETCH):
        what = _differing(decision, at, published)
        if what is not None:
            told = {"decision": decision.id, "what": what}
            yield Finding(FindingKind.DECISION_AGAINST_REQUEST, told)
    yield from of_places(conn)


def _differing(
    decision: TaxDecision, at: datetime, published: Sequence[tuple[TaxRate, datetime]]
) -> str | None:
    try:
        if is_external(decision.request):
            return _of_provider(decision)
        request = TaxRequest.from_document(decision.request)
        computed = table_decision(request)
    except (Undecided, ValueError, KeyError, TypeError) as error:
        return f"request: {error}"
    for name in TaxDecision.__dataclass_fields__:
        if getattr(computed, name) != getattr(decision, name):
            return name
    return None if against_rates(request, at, published) else "rates"


def _of_provider(decision: TaxDecision) -> str | None:
    """Return what of a decision isn't as the provider's answer has it. Raises as they are read."""
    request = ExternalRequest.from_document(decision.request)
    answer = ExternalAnswer.from_document(decision.response)
    if answer.document() != decision.response or not answers(answer, request):
        return "response"
    computed = external_decision(decision.id, decision.request, answer)
    for name in TaxDecision.__dataclass_fields__:
        if name != "id" and getattr(computed, name) != getattr(decision, name):
            return name
    return None


def stored_taxes(row: Invoiced) -> list[tuple[Any, ...]]:
    """Return the taxes of an invoice as they are stored."""
    return [
        (
            str(each.decision),
            each.name,
            each.jurisdiction,
            each.treatment,
            each.rate,
            each.included,
            each.reason,
            each.base,
            each.amount,
        )
        for each in row.taxes
    ]


def computed_taxes(facts: Facts, drafted: InvoiceDraft) -> list[tuple[Any, ...]]:
    """Return the same as the facts have it."""
    return [
        (
            str(facts.decision),
            each.name,
            each.jurisdiction,
            each.treatment,
            exact_text(each.rate),
            each.included,
            each.reason,
            each.base,
            each.amount,
        )
        for each in drafted.taxes
    ]


def against_decision(row: Invoiced, facts: Facts) -> str | None:
    """Return what of an invoice's facts isn't as its decision says, or None."""
    if facts.decision is None:
        return "decision" if facts.taxes else None
    if row.decided is None:
        return "decision"
    try:
        decided = read_response(row.decided)
    except (ValueError, KeyError, TypeError):
        return "response"
    return None if decided == facts.taxes else "taxes"
