"""The provider's account: the store with its clock and settings, as every endpoint sees it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from billing.sandbox.braintree.actions import ACTIONS as BRAINTREE_ACTIONS
from billing.sandbox.call import Call
from billing.sandbox.clock import SandboxClock
from billing.sandbox.resources import ACTIONS, KINDS
from billing.sandbox.settings import SandboxSettings, load_settings, save_settings
from billing.sandbox.store import Store
from billing.sandbox.webhooks.outbox import Outbox

_ALL_ACTIONS = {**ACTIONS, **BRAINTREE_ACTIONS}


@dataclass(slots=True)
class SandboxAccount:
    """All requests share one account, whatever their key."""

    store: Store
    clock: SandboxClock
    folder: Path
    base_url: str = ""
    outbox: Outbox = field(init=False)
    settings: SandboxSettings = field(init=False)

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.store)
        self.settings = load_settings(self.store)

    def call(self, *, now: int | None = None, **more: Any) -> Call:
        """Return what an endpoint works with, at the clock's time, or at the time given."""
        instant = self.clock.now() if now is None else now
        return Call(
            store=self.store,
            settings=self.settings,
            outbox=self.outbox,
            now=instant,
            kinds=KINDS,
            base_url=self.base_url,
            **more,
        )

    def change_settings(self, changes: dict[str, Any]) -> SandboxSettings:
        """Change settings and keep them, inside a transaction. Raises: ValueError."""
        self.settings = self.settings.changed(changes)
        save_settings(self.store, self.settings)
        return self.settings

    def catch_up(self) -> None:
        """Do what the clock has set off, in order, each thing dated when it was due."""
        now = self.clock.now()
        while self.store.first_due <= now:
            with self.store.transaction():
                due = self.store.take_due(now)
                if due is not None:
                    at, action, object_id = due
                    _ALL_ACTIONS[action](self.call(now=at), object_id)
