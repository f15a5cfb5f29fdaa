"""Does a figure grow? Judged over the last two thirds of a run, by its median slope.

The slope is that of Theil and Sen, the median over all pairs of samples: a few samples taken in the
middle of a restart don't move it. Its 95 % interval is Sen's. A figure grows when even the low end
of the interval, times the length of what is judged, is more than is allowed to the figure: noise
isn't growth, and neither is what is too small to matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import median
from typing import Final

Point = tuple[float, float]
"""A moment in seconds, and a value."""

JUDGED_FROM: Final = 1 / 3
"""Which part of the run isn't judged: caches fill, pools open, processes are struck."""
POINTS_MIN: Final = 12
POINTS_MAX: Final = 400  # beyond, every n-th is taken: there are n * n / 2 pairs
_Z95: Final = 1.96


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope in units a second, and the ends of its 95 % interval."""

    slope: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figure:
    """What was sampled: values over time, and by how much they may grow in what is judged."""

    name: str
    unit: str
    points: Sequence[Point]
    allowed: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a figure: its median at the start and the end, and its growth over that time.

    `grows` is None where there are too few samples to tell.
    """

    figure: Figure
    begin: float
    end: float
    growth: float
    surely: float
    grows: bool | None


def judged(points: Sequence[Point], begin: float, end: float) -> list[Point]:
    """Return the points of the last two thirds of a run from `begin` to `end`."""
    since = begin + (end - begin) * JUDGED_FROM
    return [point for point in points if point[0] >= since]


def trend(points: Sequence[Point]) -> Trend:
    """Return the median slope of two or more points, taken at different times."""
    thinned = points[:: max(1, -(-len(points) // POINTS_MAX))]
    slopes = sorted(
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in combinations(thinned, 2)
    )
    n = len(thinned)
    spread = _Z95 * sqrt(n * (n - 1) * (2 * n + 5) / 18)
    lowest = max(0, int((len(slopes) - spread) / 2))
    highest = min(len(slopes) - 1, int((len(slopes) + spread) / 2) + 1)
    return Trend(median(slopes), slopes[lowest], slopes[highest])


def verdict(figure: Figure) -> Verdict:
    """Judge a figure by all of its points."""
    values = [value for _, value in figure.points]
    if len(values) < POINTS_MIN:
        shown = (values[0], values[-1]) if values else (0.0, 0.0)
        return Verdict(figure, *shown, 0.0, 0.0, None)
    third = len(values) // 3
    lasted = figure.points[-1][0] - figure.points[0][0]
    found = trend(figure.points)
    surely = found.low * lasted
    return Verdict(
        figure,
        median(values[:third]),
        median(values[-third:]),
        found.slope * lasted,
        surely,
        surely > figure.allowed,
    )
