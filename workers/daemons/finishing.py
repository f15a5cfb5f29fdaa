"""Writing the outcome of a call, with retries when the database fails."""

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import OperationalError

FINISH_TRIES: Final = 5
FINISH_PAUSE_SECONDS: Final = 0.5


def retry_on_db_error(write: Callable[[], object]) -> None:
    """Write an outcome, with retries when the database fails.

    If all retries fail, nothing is lost: the call stays open and is asked for again under the same
    key.
    """
    for left in reversed(range(FINISH_TRIES)):
        try:
            write()
        except OperationalError:
            if not left:
                raise
            time.sleep(FINISH_PAUSE_SECONDS)
        else:
            return
