"""How long to wait before something that failed is tried again."""

from datetime import timedelta

_DOUBLINGS_MAX = 16  # far beyond any bound, and no overflow after a thousand tries


def pause(tries: int, *, first: timedelta, longest: timedelta) -> timedelta:
    """Return the pause after the `tries`-th try: `first`, then doubled each time up to `longest`.

    No try at all counts as one.
    """
    doublings = min(max(tries, 1) - 1, _DOUBLINGS_MAX)
    return min(first * (1 << doublings), longest)
