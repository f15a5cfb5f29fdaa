"""How old a webhook delivery may be."""

from datetime import timedelta
from typing import Final

from billing.gateway.errors import SignatureRefused

# How far the provider's clock may be ahead of ours; a larger lead would lengthen the time in
# which a stolen delivery can be played again.
CLOCK_LEAD: Final = timedelta(minutes=1)


def check_age(what: str, age: timedelta, tolerance: timedelta) -> None:
    """Check the age of what tells a delivery's time. Raises: SignatureRefused."""
    if age > tolerance:
        raise SignatureRefused("too_old", f"the {what} is {age} old, {tolerance} is allowed")
    lead = min(CLOCK_LEAD, tolerance)
    if -age > lead:
        raise SignatureRefused("from_the_future", f"the {what} is {-age} ahead of our clock")
