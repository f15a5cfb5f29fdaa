"""Card numbers as people write them, and how to find them again whatever was done to them.

The numbers are the networks' public test numbers. Finding them shares no code with the engine:
digits of any script are made plain, what people put between them is dropped, and each number is
looked for.
"""

import unicodedata
from typing import Final

VISA: Final = "4242424242424242"
VISA_13: Final = "4222222222222"
VISA_19: Final = "4111111111111111110"
MASTERCARD: Final = "5555555555554444"
AMEX: Final = "378282246310005"
DISCOVER: Final = "6011111111111117"
DINERS: Final = "36227206271667"
JCB: Final = "3566002020360505"
UNIONPAY: Final = "6205500000000000004"
MAESTRO: Final = "6759649826438453"
NUMBERS: Final = (
    VISA, VISA_13, VISA_19, MASTERCARD, AMEX, DISCOVER, DINERS, JCB, UNIONPAY, MAESTRO,
)  # fmt: skip

DIGITS: Final = "0123456789"
FULL_WIDTH: Final = str.maketrans(DIGITS, "".join(chr(0xFF10 + n) for n in range(10)))
ARABIC: Final = str.maketrans(DIGITS, "".join(chr(0x0660 + n) for n in range(10)))

ASCII_SPELLINGS: Final = (
    VISA,
    "4242 4242 4242 4242",
    "5555-5555-5555-4444",
    "3782 822463 10005",
    "please charge 6011111111111117 from now on",
    "card:36227206271667.",
    "3566.0020.2036.0505",
    VISA_13,
    VISA_19,
    UNIONPAY,
    "6759_6498_2643_8453",
    "4242424242424242exp1227",
    "cc_5555555555554444",
    "4242 - 4242 - 4242 - 4242",
    "5555,5555,5555,4444",
    "3782|822463|10005",
)
SPELLINGS: Final = (
    *ASCII_SPELLINGS,
    VISA.translate(FULL_WIDTH),
    MASTERCARD.translate(ARABIC),
    "4242\u00a04242\u00a04242\u00a04242",
    "3782\u2013822463\u201310005",
    "4242\u200b4242\u200b4242\u200b4242",
    "4242\u22124242\u22124242\u22124242",
    "4242\u30fc4242\u30fc4242\u30fc4242",
)

# Sixteen digits that are nobody's card: the check digit, or the network, is wrong.
INNOCENT: Final = ("4242424242424241", "1234567890123452", "0000 0000 0000 0000")


def found_in(text: str) -> set[str]:
    """Return the numbers that a text holds, in whatever script and grouping."""
    kept = []
    for char in unicodedata.normalize("NFKC", text):
        category = unicodedata.category(char)
        if category == "Nd":
            kept.append(str(unicodedata.decimal(char)))
        elif char.isalpha() and category != "Lm":
            kept.append(char)
    plain = "".join(kept)
    return {number for number in NUMBERS if number in plain}
