"""One request to an endpoint, and the kinds of object endpoints deal in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from billing.sandbox.errors import Body, missing_object
from billing.sandbox.settings import SandboxSettings
from billing.sandbox.store import Record, Store
from billing.sandbox.webhooks.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Call:
    """What an endpoint works with: parameters already read, the store inside its transaction."""

    store: Store
    settings: SandboxSettings
    outbox: Outbox
    now: int
    kinds: Mapping[str, "ObjectKind"]
    path: tuple[str, ...] = ()  # the ids in the path
    params: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    idempotency_key: str | None = None
    base_url: str = ""

    def named_in_path(self, kind: str, param: str = "id") -> Record:
        """Return the object that the path names first. Raises: ApiError, 404."""
        record = self.store.find(kind, self.path[0])
        if record is None:
            raise missing_object(kind, self.path[0], param=param, in_path=True)
        return record

    def named_by(self, kind: str, object_id: str, param: str) -> Record:
        """Return the object that a parameter names. Raises: ApiError, 400."""
        record = self.store.find(kind, object_id)
        if record is None:
            raise missing_object(kind, object_id, param=param, in_path=False)
        return record

    def stored(self, kind: str, object_id: str) -> Record:
        """Return an object that another one refers to, so it must be there."""
        record = self.store.find(kind, object_id)
        assert record is not None, f"{kind} {object_id} is referred to but not stored"
        return record


Renderer = Callable[[Call, Record], Body]


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """A kind of object: how it is rendered and which of its fields `expand[]` may follow."""

    name: str
    render: Renderer
    expandable: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
