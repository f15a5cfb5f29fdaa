"""Who attacks: the application's role and the owner of the tables, in a module's `scene`."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from billing.store.engine import APP_ROLE, make_engine


@pytest.fixture(scope="module")
def owner(scene: str) -> Iterator[Engine]:
    engine = make_engine(scene, role=None)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def app(scene: str) -> Iterator[Engine]:
    engine = make_engine(scene, role=APP_ROLE)
    yield engine
    engine.dispose()


@pytest.fixture(params=["app", "owner"], ids=["as the application", "as the owner"])
def attacker(request: pytest.FixtureRequest) -> Engine:
    engine: Engine = request.getfixturevalue(request.param)
    return engine
