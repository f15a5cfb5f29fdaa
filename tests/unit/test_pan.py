"""Card numbers are recognised however they are written, and ids are let through."""

import random
import uuid

import pytest

from billing.cli.remedies import remedy_of
from billing.pan import CardNumberRefused, contains_card_number, refuse_card_number

# the providers' public test numbers, by network
NUMBERS = {
    "visa": "4242424242424242",
    "visa debit": "4000056655665556",
    "visa of 13": "4222222222222",
    "visa of 19": "4111111111111111110",
    "mastercard": "5555555555554444",
    "mastercard of series 2": "2223003122003222",
    "american express": "378282246310005",
    "discover": "6011111111111117",
    "diners club": "3056930009020004",
    "diners club of 14": "36227206271667",
    "jcb": "3566002020360505",
    "unionpay": "6200000000000005",
    "unionpay of 19": "6205500000000000004",
    "maestro": "6759649826438453",
}


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_the_numbers_of_every_network_are_recognised(number: str) -> None:
    assert contains_card_number(number)


@pytest.mark.parametrize(
    "text",
    [
        "4242 4242 4242 4242", "4242-4242-4242-4242", "4242  4242  4242  4242", "4 2" + "42" * 7,
        "3782 822463 10005", "card: 4242424242424242.", "(4242424242424242)",
        '{"card": "4242424242424242"}', "number=4242424242424242&cvc=1", "visa4242424242424242",
        "4242424242424242x", "4242424242424242 12/34 123", "order 17 4242 4242 4242 4242",
        "1 4242-4242-4242-4242 2", "4242\u00a04242\u00a04242\u00a04242",
        "4242\u20134242\u20134242\u20134242", "4242\u200b4242\u200b4242\u200b4242",
        "4242\t4242\t4242\t4242", "4242\n4242\r\n4242\n4242", "4242.4242.4242.4242",
        "no. 4242/4242/4242/4242", "4242_4242_4242_4242", "3782.822463.10005",
        "4242424242424242exp1227", "4242424242424242cvc123", "exp1227x4242424242424242",
        "_4242424242424242_", "4242424242424242_", "cc_4242424242424242", "no_4242_4242_4242_4242",
        "4242 - 4242 - 4242 - 4242", "4242   4242   4242   4242", "4242,4242,4242,4242",
        "4242, 4242, 4242, 4242", "4242:4242:4242:4242", "4242+4242+4242+4242",
        "4242|4242|4242|4242", "4242*4242*4242*4242", "4242~4242~4242~4242", "4242;4242;4242;4242",
        "4242=4242=4242=4242", "4242\\4242\\4242\\4242", "4242'4242'4242'4242",
        "(4242)(4242)(4242)(4242)", "[4242][4242][4242][4242]", "4242 / 4242-4242.4242",
        "4242\u22124242\u22124242\u22124242",  # minus signs
        "4242\u00b74242\u00b74242\u00b74242", "4242\u20224242\u20224242\u20224242",
        "4242\u30fc4242\u30fc4242\u30fc4242", "4242\u30fb4242\u30fb4242\u30fb4242",
        "4242\uff704242\uff704242\uff704242", "4242\u25cf4242\u25cf4242\u25cf4242",
        "4242&nbsp;4242&nbsp;4242&nbsp;4242", "4242&#45;4242&#45;4242&#45;4242",
        "4242&ndash;4242&ndash;4242&ndash;4242", "3782,822463,10005", "3622:720627:1667",
        "4242 4242 4242 4242exp12/30", "4242424242424242" + "x" * 300,
        "\uff14\uff12" * 8,  # full width
        "\u0664\u0662" * 8,  # Arabic-Indic
        "\u2074\u00b2" * 8,  # superscript
    ],
)  # fmt: skip
def test_a_card_number_is_recognised_however_it_is_written(text: str) -> None:
    assert contains_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "Ada Lovelace", "4242", "4242424242424241",  # the check digit is wrong
        "1234567890123452",  # no network begins like this
        "+1 415 555 2671", "0041 44 668 18 00", "2026-01-31 10:00", "2026-01-31 2026-02-28",
        "DE89 3704 0044 0532 0130 00", "192.168.100.200 10.20.30.40",
        "pm_1N4242424242424242", "cus_4242424242424242", "pi_3MtwBwLkdIwHu7ix28a3tqPa",
        "424242424242424242424242424242",  # longer than any card number
        "a1b4242424242424242c", "4.242424242424242", "4242.424242424242",
        "10.4242.4242.4242.4242", "cus_4242_4242_4242_4242", "2026/01/31 4242/42/42",
        "1767225600 1769904000", "1,4242,4242,4242,4242", "4242,4242,4242,4242,7",
        "2019, 2020, 2021, 2022", "req_4242424242424242", "4242424242424242" + "a" * 16,
    ],
)  # fmt: skip
def test_what_is_no_card_number_passes(text: str) -> None:
    assert not contains_card_number(text)


def test_ids_are_let_through() -> None:
    """UUIDs of digits and dashes alone are among these, and so are digits that pass the check."""
    chance = random.Random(1)
    ids = [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(5000)]
    ids += [f"cus_{chance.getrandbits(52):016d}" for _ in range(1000)]
    ids += [f"{chance.getrandbits(128):032x}" for _ in range(20_000)]
    ids += [f"{chance.getrandbits(96):024x}" for _ in range(20_000)]
    ids += [f"{chance.getrandbits(256):064x}" for _ in range(1000)]

    assert not [one for one in ids if contains_card_number(one)]


def test_a_refusal_names_the_place_and_never_the_number() -> None:
    refuse_card_number("Ada Lovelace", "customer.name")

    with pytest.raises(CardNumberRefused) as refused:
        refuse_card_number("4242 4242 4242 4242", "customer.name")

    assert "customer.name" in str(refused.value)
    assert "4242" not in str(refused.value)
    assert "pm_" in str(remedy_of(refused.value))
