"""The inbox of events, for people."""

from billing.store.access.events import Event, page, since, some

__all__ = ["Event", "page", "since", "some"]
