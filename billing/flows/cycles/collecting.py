"""When garbage is collected: not while a batch is opened, or usage is counted."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collected_later() -> Iterator[None]:
    """Let no garbage be looked for meanwhile, by whichever thread.

    A batch makes a hundred objects a subscription, hardly any of which refer to each other in
    circles. To look through them again and again was a tenth of the time of opening a cycle, and a
    third of that of counting an event of usage.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
