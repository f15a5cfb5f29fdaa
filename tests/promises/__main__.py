"""Tries all mutants on servers of its own, and writes the page about them."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from billing.embedded.servers import EmbeddedPostgres
from billing.store.schema import migrate
from tests.conftest import TEMPLATE, Admin
from tests.promises import page, run, survivors
from tests.promises.run import Results
from tests.promises.scene import after_the_story
from tests.waiting import PATIENCE


def main() -> int:
    """Return 1 when a mutant survives without a reason, or a reason explains none."""
    with TemporaryDirectory() as folder:
        results = _tried(Path(folder))
    known = survivors.reasons()
    page.write(results, known)
    surviving = [each.mutant for each in results.generated if each.owner.survives]
    unexplained = survivors.unexplained(surviving, known)
    for each in unexplained:
        sys.stdout.write(f"survives without a reason: {each.place}, {each.how}, {each.sort}\n")
    idle = survivors.idle(surviving, known, {each.place for each in results.made})
    for each_idle in [*idle, *survivors.nowhere(known, results.made)]:
        sys.stdout.write(f"a reason that explains nothing: {each_idle}\n")
    sys.stdout.write(
        f"{len(results.generated)} mutants, {len(surviving)} survive; {page.PAGE} is written\n"
    )
    return 1 if unexplained or idle else 0


def _tried(folder: Path) -> Results:
    server = EmbeddedPostgres(folder / "postgres", durable=False)
    try:
        server.start(PATIENCE)
        with Admin.connect(server.url(), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {TEMPLATE}")
            migrate(server.url(TEMPLATE))
            with after_the_story(server, admin, TEMPLATE, folder / "story") as scene:
                return run.tried_in(scene)
    finally:
        server.destroy()


if __name__ == "__main__":
    sys.exit(main())
