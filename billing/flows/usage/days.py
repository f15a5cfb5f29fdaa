"""Days of usage are made ahead, so that each one can be taken out whole."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from billing.store.usage import days

AHEAD_DAYS: Final = 7


def make_ahead(engine: Engine, now: datetime) -> int:
    """Make the tables of today and of the next days; return how many were made.

    An event of a day without one is kept among the others, so nothing waits for this.
    """
    with engine.begin() as conn:
        return days.make(conn, now.date(), (now + timedelta(days=AHEAD_DAYS)).date())
