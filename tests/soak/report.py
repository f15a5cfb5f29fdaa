"""A soak's end in words and figures."""

from collections.abc import Mapping

from tests.soak.flatness import Verdict
from tests.soak.soak import Result

_UNITS = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"))


def as_text(result: Result) -> str:
    """Return what was done, what was found and what grew."""
    lines = [
        f"ran       {result.seconds:.0f} s; {result.figures}",
        f"requests  {result.requests}",
        f"struck    {sum(result.struck.values())}: {_counted(result.struck)}",
        f"started   {_counted({name: n for name, n in result.restarts.items() if n})} again",
    ]
    if result.not_struck:
        lines.append(f"never     {', '.join(result.not_struck)}: the run was too short")
    lines += ["", f"{'':40}{'begin':>10}{'end':>10}{'growth':>10}{'surely':>10}{'allowed':>10}"]
    lines += [_judged(each) for each in result.verdicts]
    lines += [
        "",
        f"small     {result.small_tables} tables are smaller than 256 kB and not judged",
        f"dead      {result.dead_rows} rows at the end, which vacuum has yet to take",
        f"findings  {len(result.findings)}",
        *(f"  {finding}" for finding in result.findings),
        f"growing   {len(result.growing)}",
    ]
    return "\n".join(lines)


def as_csv(result: Result) -> str:
    """Return every sample that was judged: the figure, the second, the value."""
    rows = [
        f"{each.figure.name.replace(',', '')},{at:.0f},{value:.0f}"
        for each in result.verdicts
        for at, value in each.figure.points
    ]
    return "\n".join(["figure,second,value", *rows]) + "\n"


def _judged(each: Verdict) -> str:
    figures = (each.begin, each.end, each.growth, each.surely, each.figure.allowed)
    word = {True: "  GROWS", False: "", None: "  too few samples"}[each.grows]
    columns = "".join(f"{_shown(value, each.figure.unit):>10}" for value in figures)
    return f"{each.figure.name:40}{columns}{word}"


def _shown(value: float, unit: str) -> str:
    if unit == "B":
        for size, name in _UNITS:
            if abs(value) >= size:
                return f"{value / size:.1f} {name}"
        return f"{value:.0f} B"
    return f"{value:.1f}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "nothing"
