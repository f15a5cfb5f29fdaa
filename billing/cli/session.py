"""What one run of a command works with, each part made when it is first asked for."""

import getpass
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from billing.cli.guard import refuse_in_settings
from billing.cli.output import talk
from billing.rules.actor import Actor, ActorKind

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from billing.config import Settings
    from billing.flows.context import Context
    from billing.workers.runtime.runtime import Runtime

Done = TypeVar("Done")


@dataclass
class Session:
    """Settings, engine and clock of this run. `config` is what --config named."""

    config: Path | None = None
    debug: bool = False

    @cached_property
    def settings(self) -> "Settings":
        """The configuration. Raises `BadInput`, with every problem in it."""
        from billing.config import DEFAULT_FILE, load_settings

        refuse_in_settings(self.config or DEFAULT_FILE, os.environ)
        settings = load_settings(self.config, os.environ)
        for hint in settings.hints:
            talk(hint)
        return settings

    @cached_property
    def runtime(self) -> "Runtime":
        """The parts that processes are made of."""
        from billing.workers.runtime.runtime import Runtime
        from billing.workers.runtime.shares import BY_HAND

        return Runtime(self.settings, role=BY_HAND)

    @cached_property
    def engine(self) -> "Engine":
        """The database, once its schema was found to be ours.

        Raises `Unavailable`, `SchemaUnknown`.
        """
        from billing.queries.database import check_schema

        engine = self.runtime.engine
        check_schema(engine)
        return engine

    def owners_engine(self) -> "AbstractContextManager[Engine]":
        """Connect as the URL's own user, without becoming the application role."""
        from billing.workers.runtime.database import owners_engine

        return owners_engine(self.settings)

    def engine_for_long_reads(self) -> "AbstractContextManager[Engine]":
        """Connect as the application role, with no limit on how long a statement may take."""
        from billing.workers.runtime.database import engine_for_long_reads

        assert self.engine is not None, "the schema is checked first"
        return engine_for_long_reads(self.settings)

    @contextmanager
    def connect(self) -> "Iterator[Connection]":
        """Open a connection for reading."""
        with self.engine.connect() as conn:
            yield conn

    @property
    def context(self) -> "Context":
        """What flows work with, once the database's schema was found to be ours."""
        assert self.engine is not None, "the schema is checked first"
        return self.runtime.context

    def with_taxes(self, work: "Callable[[], Done]") -> "Done":
        """Do work in a transaction of its own, asking a provider for taxes where it wants them."""
        from billing.flows.taxes.asking import with_taxes

        return with_taxes(self.context, work)

    def now(self) -> datetime:
        """Return domain time: the test clock in sandbox mode."""
        assert self.engine is not None, "the schema is checked first"
        return self.runtime.clock.now()

    def audited(
        self,
        action: str,
        subject: object,
        why: str = "",
        detail: "Mapping[str, Any] | None" = None,
    ) -> "AbstractContextManager[Connection]":
        """Open a transaction that changes something and says in the audit log who did.

        What is put into `detail` before the end of it is written too.
        """
        from billing.flows.audit import audited

        return audited(
            self.engine,
            actor=person(),
            action=action,
            subject=str(subject),
            why=why,
            detail=detail,
        )

    def close(self) -> None:
        """Let go of connections."""
        if "runtime" in self.__dict__:
            self.runtime.close()


def person() -> Actor:
    """Return who types, as histories and the audit log name them."""
    try:
        return Actor(ActorKind.CLI, getpass.getuser())
    except (KeyError, OSError):  # a user without a name
        return Actor(ActorKind.CLI)
