"""The error a user meets: what went wrong, where, and what to do about it."""


class BillingError(Exception):
    """Something the user can act on; `exit_code` is what the CLI ends with."""

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"where: {self.where}")
        if self.remedy:
            parts.append(f"remedy: {self.remedy}")
        return "\n  ".join(parts)


class BadInput(BillingError):
    """What the user typed or configured can't be taken; nothing was changed."""

    exit_code = 2


class NotFound(BadInput):
    """No such thing; nothing was changed."""


class Conflict(BadInput):
    """The thing exists already or is in a state that forbids this; nothing was changed."""


class Unavailable(BillingError):
    """A server we depend on (database, Redis, provider) doesn't answer; trying again may work."""

    exit_code = 4


class SchemaUnknown(BillingError):
    """The database's schema is not the one this code was written for."""

    exit_code = 5


def first_line(error: object) -> str:
    """Return what an error says in one line; the database's go on for many."""
    return str(error).strip().split("\n", 1)[0]
