"""Errors of a catalog: a bad value, a problem with its place, all problems of a run."""

from collections.abc import Iterable
from dataclasses import dataclass


class BadValue(ValueError):
    """A value can't be read; `what` says why and `remedy` what to write instead."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class CatalogProblem:
    """One thing to correct in a catalog file; `line` counts from 1."""

    file: str
    line: int
    key: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}: {self.what}\n  remedy: {self.remedy}"


class CatalogError(Exception):
    """The catalog can't be used; `problems` are all of them, in the order of files and lines."""

    def __init__(self, problems: Iterable[CatalogProblem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.file, problem.line)))
        super().__init__("\n".join(str(problem) for problem in self.problems))
