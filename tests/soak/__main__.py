"""`make soak SOAK="--hours 1"`: the engine's processes under strikes; its end says what grew."""

import argparse
import logging
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.soak.report import as_csv, as_text
from tests.soak.soak import Soak, engine_of

HOLDS, BROKEN = 0, 1


def main() -> int:
    """Run as long as is asked for, and return 1 when something was found or grew."""
    options = _options()
    seconds = options.hours * 3600 + options.minutes * 60 or 180.0
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    every = options.sample or max(2.0, seconds / 360)
    print(f"seed {seed}", flush=True)  # noqa: T201
    logging.disable(logging.CRITICAL)

    def told(line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    with TemporaryDirectory(prefix="soak-") as folder, engine_of(Path(folder)) as engine:
        result = Soak(engine, seed, seconds, every, told).run()
    print(as_text(result))  # noqa: T201
    if options.samples:
        options.samples.write_text(as_csv(result))
    return HOLDS if result.holds else BROKEN


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--minutes", type=float, default=0.0, help="3 when nothing is said")
    parser.add_argument("--seed", type=int, help="in which order things are struck")
    parser.add_argument("--sample", type=float, metavar="SECONDS", help="between two samples")
    parser.add_argument("--samples", type=Path, metavar="FILE", help="write what was judged as CSV")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
