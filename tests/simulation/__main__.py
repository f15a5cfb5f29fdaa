"""`make simulate SIMULATE="--seed 7 --cycles 100000"`: stories until so many cycles were billed."""

import argparse
import logging
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from psycopg import sql

from billing.embedded.servers import EmbeddedPostgres
from billing.store.schema import migrate
from tests.conftest import TEMPLATE, Admin
from tests.engines import sharing
from tests.simulation.coverage import KINDS
from tests.simulation.shrink import as_test, shrunk
from tests.simulation.simulation import Servers, Size, Told, size_of, told


@contextmanager
def servers() -> Iterator[Servers]:
    """A PostgreSQL server with a migrated database, as the tests have it."""
    with ExitStack() as stack:
        stack.enter_context(patch("billing.store.engine.create_engine", sharing))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="simulate-")))
        server = EmbeddedPostgres(folder / "postgres", durable=False)
        stack.callback(server.destroy)
        server.start(300)
        admin = stack.enter_context(Admin.connect(server.url(), autocommit=True))
        admin.execute("ALTER SYSTEM SET autovacuum = off")
        admin.execute("SELECT pg_reload_conf()")
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        migrate(server.url(TEMPLATE))
        yield Servers(server.url, admin, TEMPLATE, folder)


def main() -> int:
    """Tell stories, and say what was found."""
    options = _options()
    logging.disable(logging.CRITICAL)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    if options.jobs > 1:
        return _side_by_side(seed, options)
    print(f"seed {seed}", flush=True)  # noqa: T201
    began, cycles, stories = time.monotonic(), 0, 0
    happened, asked = Counter[str](), Counter[str]()
    came = Counter[str]()
    failed: list[Told] = []
    points = deaths = 0
    with servers() as where:
        while cycles < options.cycles and len(failed) < options.findings:
            number = options.first + stories * options.step
            size = size_of(number)
            story = told(f"{seed}.{number}", where, size)
            stories += 1
            cycles += story.cycles
            points += story.points
            deaths += story.deaths
            happened += story.happened
            asked += story.asked
            came.update(story.came)
            if story.findings:
                failed.append(story)
                _tell(story, options.trace)
                if options.shrink:
                    _shrink(story, where, size)
            seconds = time.monotonic() - began
            print(  # noqa: T201
                f"\r{stories} stories, {cycles} cycles, {cycles / seconds:.1f}/s,"
                f" {len(failed)} with findings ",
                end="",
                file=sys.stderr,
                flush=True,
            )
    print(file=sys.stderr)  # noqa: T201
    lines = [
        f"seed      {seed}",
        f"stories   {stories}",
        f"cycles    {cycles}",
        f"points    {points}",
        f"deaths    {deaths}",
        "events    " + _counted(asked),
        "faults    " + _counted(happened),
        "came of it, in 1,000 cycles",
        *(f"  {1000 * came[kind] / max(1, cycles):8.1f}  {kind}" for kind in KINDS),
        f"findings  {sum(len(story.findings) for story in failed)}",
        f"seconds   {time.monotonic() - began:.0f}",
    ]
    print("\n".join(lines))  # noqa: T201
    return 1 if failed else 0


def _side_by_side(seed: object, options: argparse.Namespace) -> int:
    """Share the stories of a seed among processes; each prints what it told."""
    cycles = -(-options.cycles // options.jobs)
    given = ["--seed", str(seed), "--cycles", str(cycles), "--findings", str(options.findings)]
    given += ["--trace", str(options.trace), "--step", str(options.jobs)]
    given += ["--shrink"] if options.shrink else []
    runs = [
        subprocess.Popen([sys.executable, "-m", "tests.simulation", *given, "--first", str(first)])
        for first in range(options.jobs)
    ]
    return max(run.wait() for run in runs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", help="repeat a run; a fresh one by default")
    parser.add_argument("--cycles", type=int, default=2000, help="stop after so many (%(default)s)")
    parser.add_argument("--findings", type=int, default=1, help="stop after so many stories")
    parser.add_argument("--jobs", type=int, default=1, help="so many processes side by side")
    parser.add_argument("--first", type=int, default=0, help="the number of the first story")
    parser.add_argument("--step", type=int, default=1, help="from one story's number to the next")
    parser.add_argument("--trace", type=int, default=60, help="lines before a finding")
    parser.add_argument("--shrink", action="store_true", help="make what fails shorter")
    return parser.parse_args()


def _tell(story: Told, lines: int) -> None:
    print(f"\nstory {story.seed}:")  # noqa: T201
    for line in story.trace[len(story.trace) - min(lines, len(story.trace)) :]:
        print(f"    {line}")  # noqa: T201
    for finding in story.findings:
        print(f"  {finding}")  # noqa: T201


def _shrink(story: Told, where: Servers, size: Size) -> None:
    shorter = shrunk(story, where, size)
    print(as_test(shorter) if shorter else "it doesn't repeat")  # noqa: T201


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count)


if __name__ == "__main__":
    sys.exit(main())
