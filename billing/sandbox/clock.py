"""The sandbox's clock: real time, or an instant pinned through the control API."""

import time

from billing.sandbox.store import Store

_PINNED = "clock.pinned"


def real_now() -> int:
    """Return real time, which receivers of webhooks check their age against."""
    return int(time.time())  # noqa: TID251  the provider's clock has to start somewhere


class SandboxClock:
    """Tell the time in whole seconds since 1970 (UTC); a pin survives a restart."""

    def __init__(self, store: Store) -> None:
        self._store = store
        saved = store.setting(_PINNED)
        self._pinned = None if saved is None else int(saved)

    @property
    def pinned(self) -> int | None:
        """Return the pinned instant, or None while the clock runs freely."""
        return self._pinned

    def now(self) -> int:
        """Return the pinned instant, else real time."""
        if self._pinned is not None:
            return self._pinned
        return real_now()

    def pin(self, instant: int | None) -> None:
        """Stop the clock at `instant`; None lets it run in real time again."""
        with self._store.transaction():
            self._store.save_setting(_PINNED, None if instant is None else str(instant))
        self._pinned = instant
