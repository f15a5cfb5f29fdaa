"""The sum of ids modulo 2^128, in SQL: whatever their order, other ids have another sum."""

from typing import Final

MODULUS: Final = 2**128

ID_SUM: Final = f"""
    mod(mod(sum(('x' || substr(id_hex, 1, 16))::bit(64)::bigint), {2**64}) * {2**64}
        + sum(('x' || substr(id_hex, 17, 8))::bit(32)::bigint & {2**32 - 1}) * {2**32}
        + sum(('x' || substr(id_hex, 25, 8))::bit(32)::bigint & {2**32 - 1})
        + {MODULUS}, {MODULUS})"""
"""The aggregate over the column `id_hex`, which is `HEX` of each id."""
HEX: Final = "replace(CAST({id} AS text), '-', '')"
"""The digits of an id."""
