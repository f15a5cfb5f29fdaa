"""Who did something is one value with one text."""

import pytest

from billing.rules.actor import RECONCILER, SCHEDULER, WORKER, Actor, ActorKind


@pytest.mark.parametrize("kind", ActorKind)
@pytest.mark.parametrize("name", ["", "ada", "shop:bcdfghjkmnpq"])
def test_an_actor_is_read_back_from_its_text(kind: ActorKind, name: str) -> None:
    actor = Actor(kind, name)

    assert Actor.parse(str(actor)) == actor


def test_the_text_is_the_kind_and_the_name() -> None:
    assert str(Actor(ActorKind.CLI, "ada")) == "cli:ada"
    assert str(Actor(ActorKind.CONSOLE, "ann")) == "console:ann"
    assert [str(each) for each in (SCHEDULER, WORKER, RECONCILER)] == [
        "scheduler",
        "worker",
        "reconciler",
    ]


def test_a_text_of_no_kind_is_no_actor() -> None:
    with pytest.raises(ValueError, match="operator"):
        Actor.parse("operator:ada")
