"""Together the processes ask for no more than the provider allows."""

import pytest

from billing.config import Settings, load_settings
from billing.workers.runtime.runtime import Runtime
from billing.workers.runtime.shares import calls_per_second


def settings(workers: int, apis: int) -> Settings:
    return load_settings(
        None,
        {
            "BILLING__PROVIDERS__STRIPE__API_KEY": "sk_test_1",
            "BILLING__PROVIDERS__STRIPE__RATE_PER_SECOND": "100",
            "BILLING__WORKER__PROCESSES": str(workers),
            "BILLING__API__PROCESSES": str(apis),
        },
    )


@pytest.mark.parametrize(("workers", "apis"), [(1, 1), (3, 1), (8, 4)])
def test_all_shares_together_are_the_whole(workers: int, apis: int) -> None:
    given = settings(workers, apis)

    together = (
        workers * calls_per_second(100, given, "worker")
        + apis * calls_per_second(100, given, "api")
        + calls_per_second(100, given, "reconciler")
    )

    assert together == pytest.approx(100)


@pytest.mark.parametrize(
    ("role", "rate"), [("worker", 32.5), ("api", 20), ("reconciler", 15), (None, 100)]
)
def test_a_process_has_the_share_of_its_role(role: str | None, rate: float) -> None:
    bucket = Runtime(settings(2, 1), role=role).gateway._bucket  # type: ignore[attr-defined]

    assert bucket.rate == pytest.approx(rate)
