"""When the lines of a new invoice begin to be earned. Pure."""

from datetime import datetime

from billing.pricing import InvoiceDraft
from billing.rules.recognition import Mode, first_at, service_of


def earned_first_at(
    draft: InvoiceDraft, zone: str, issued_at: datetime, mode: Mode
) -> datetime | None:
    """Return when something of an invoice is earned for the first time; None: nothing ever is."""
    periods = {None if line.at_issue else line.period for line in draft.lines if line.net}
    services = (service_of(period, issued_at, zone) for period in periods)
    return min((first_at(service, mode) for service in services), default=None)
