"""The least that a provider has to be: short, and kept in its file."""

from pathlib import Path

from tests.contract.gateway import trivial
from tests.contract.gateway.trivial import Trivial
from tests.contract.gateway.worlds import BEGIN, TrivialWorld


def test_a_third_provider_takes_less_than_300_lines() -> None:
    assert len(Path(trivial.__file__).read_text().splitlines()) < 300


def test_what_it_did_is_in_its_file(tmp_path: Path) -> None:
    world = TrivialWorld(tmp_path / "books")
    world.begin()
    world.gateway.charge(world.request(), first_send=True)

    again = Trivial(tmp_path / "books", lambda: BEGIN)

    assert [each.id for each in again._all(trivial.Sale)] == ["row-5"]
    assert again.charge(world.request(), first_send=False) == world.gateway.charge(
        world.request(), first_send=False
    )
