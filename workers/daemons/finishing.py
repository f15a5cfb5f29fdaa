"""Writing an outcome down although the database stumbles: what a worker does after every call."""

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import OperationalError

FINISH_TRIES: Final = 5
FINISH_PAUSE_SECONDS: Final = 0.5


def patiently(write: Callable[[], object]) -> None:
    """Write an outcome down, through a database that stumbles.

    If it can't be written, nothing is lost: what was begun stays open and is asked again under
    the same key.
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
