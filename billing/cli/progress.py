"""Progress of long work, on stderr and only where somebody looks."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


Bar = Callable[[float, str], None]
"""Called with how much of the total is done, and where the work is in words."""


@contextmanager
def progress(words: str, total: float | None) -> Iterator[Bar]:
    """Show a bar while the block runs; without a total, something that moves."""
    if not sys.stderr.isatty():
        yield _silent
        return
    with _bars() as bars:
        task = bars.add_task(words, total=total)

        def show(done: float, now: str) -> None:
            bars.update(task, completed=done, description=now)

        yield show


def _silent(_done: float, _words: str) -> None:
    """Shows nothing: stderr is no terminal."""


def _bars() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
