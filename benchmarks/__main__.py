"""Run benchmarks by name, all of them by default."""

import sys
from importlib import import_module

NAMES = ("opening", "charging", "api", "settlement", "recognition", "usage")


def main(arguments: list[str]) -> int:
    """Run what is named. Exit 2 for an unknown name."""
    unknown = [name for name in arguments if name not in NAMES]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in arguments or NAMES:
        print(f"== {name}", flush=True)
        import_module(f"benchmarks.{name}").run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
