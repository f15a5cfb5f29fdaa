"""Writing the outcome of a call that this process has made."""

from collections.abc import Callable

from billing.gateway import Deferred, Unknown
from billing.workers.runtime.runtime import Runtime


def write_outcome(
    runtime: Runtime, what: str, outcome: object, write: Callable[[], object]
) -> None:
    """Write an outcome through the process's `Outcomes`; see there for what it raises.

    What is indefinite gives the lease back, so it may only be written while the lease is ours.
    """
    lease = runtime.settings.charges.lease - runtime.settings.longest_call
    indefinite = isinstance(outcome, Unknown | Deferred)
    runtime.outcomes.write(
        what, write, good_for=max(0.0, lease.total_seconds()) if indefinite else None
    )
