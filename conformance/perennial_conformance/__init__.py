"""What billing engines published about dates, amounts and declines, and a runner to compare."""

from perennial_conformance.comparing import Outcome, Status, judge
from perennial_conformance.loading import Case, Source, Variant, load_cases
from perennial_conformance.running import AdapterFault, Run, run

__all__ = [
    "AdapterFault",
    "Case",
    "Outcome",
    "Run",
    "Source",
    "Status",
    "Variant",
    "judge",
    "load_cases",
    "run",
]
