"""docs/crash-matrix.md: a section for each flow, written and compared as a run saw it."""

import fcntl
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from billing.crash_points import CrashPoint

PAGE: Final = Path(__file__).parents[3] / "docs" / "crash-matrix.md"
INTRODUCTION: Final = """\
# Where a process may die

Every place behind something durable has a name in `billing/crash_points.py`: behind a commit, a
call that changes something at the provider, a message put into the queue, a message acknowledged.
A death between two of them is a death at the first, as a process keeps nothing.

`make crashes` writes this page; `tests/delivery/test_crash_matrix.py` compares it: a share of the
flows in a run of `make test`, all of them in one of `make test-all`. For each flow
and each of its points a real process is ended there with SIGKILL, on real PostgreSQL and Valkey,
with the provider's sandbox over HTTP. The middle column has the rows that are new or changed in
the database then, the last one those that are new or changed after scheduler, worker and the loop
of events have gone on and nothing is due any more. *Again* tells how it ended when a person, a
program or the next process of the role did the same once more. In the end provider, payments and
journal hold the same money, the proof finds nothing, and as much was made at the provider as
without a death.

Flows "at the other provider" are those of Braintree, which has no payment before money moves and
tells the present state under a key that it was sent before; all others are those of Stripe.

Leases are over by the time others go on. Where a flow is a part of its caller's transaction, its
point is before the commit: nothing of it stands. A point that nothing durable lies before in a
flow is shown once.
"""


def section(report: Mapping[str, Any]) -> str:
    """Return the section of a flow."""
    lines = [
        f"## {_title(report['flow'])}",
        "",
        f"Undisturbed: {report['undisturbed'] or 'nothing changes'}.",
        "",
        "| it dies where | new in PostgreSQL then | what follows |",
        "|---|---|---|",
        *(_row(death) for death in report["deaths"]),
    ]
    return "\n".join(lines) + "\n"


def _title(flow: str) -> str:
    return flow[0].upper() + flow[1:]


def _row(death: Mapping[str, Any]) -> str:
    point = CrashPoint[death["point"]].value
    place = point if death["nth"] == 1 else f"{point} ({death['nth']})"
    stands = _with_provider(death["stands"], death["provider"])
    follows = _with_provider(death["follows"], death["provider_after"])
    if death["again"]:
        follows = f"*again: {death['again']}*; {follows}"
    return f"| {place} | {stands} | {follows} |"


def _with_provider(words: str, provider: str) -> str:
    there = f"; **at the provider: {provider}**" if provider else ""
    return (words or "nothing") + there


def sections(page: str) -> dict[str, str]:
    """Return the sections of a page by their titles."""
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0][3:]: part.rstrip("\n") + "\n" for part in parts}


def shown(flow: str) -> str:
    """Return the section that the page has for a flow, or nothing."""
    return sections(PAGE.read_text() if PAGE.exists() else "").get(_title(flow), "")


def put(report: Mapping[str, Any], flows: Iterator[str]) -> None:
    """Write the section of a flow into the page, in the order of all flows; keep the others."""
    with PAGE.open("a") as page:
        fcntl.flock(page, fcntl.LOCK_EX)  # tests run in several processes
        known = sections(PAGE.read_text())
        known[_title(report["flow"])] = section(report)
        kept = [known[_title(flow)] for flow in flows if _title(flow) in known]
        page.truncate(0)
        page.write("\n".join([INTRODUCTION, *kept]))


def titles(flows: Iterator[str]) -> list[str]:
    """Return the titles of the sections that there have to be."""
    return [_title(flow) for flow in flows]
