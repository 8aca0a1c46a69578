"""Columns packed here arrive as they were, whatever their length and whichever way it is packed."""

import struct
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
import pytest

from hakika.store.arrays import FEW, byteas, ints, texts, uuids
from hakika.store.embedded import RoleAccess

LENGTHS = (0, 1, 2, FEW - 1, FEW, FEW + 1, 1000)
EXTREMES = (2**63 - 1, -(2**63), 0, -1, 1)


def arrived(database: RoleAccess, statement: LiteralString, packed: Any) -> list[Any]:
    with psycopg.connect(database.owner_url) as connection:
        row = connection.execute(statement, (packed,), binary=True).fetchone()
    assert row is not None
    return list(row[0])


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("holes", [False, True])
def test_integers(core_database: RoleAccess, length: int, holes: bool) -> None:
    values: list[int | None] = [EXTREMES[place % 5] ^ (place << 7) for place in range(length)]
    if holes:
        values[::3] = [None] * len(values[::3])
    assert arrived(core_database, "SELECT %s", ints(values)) == values


@pytest.mark.parametrize("values", [(2**63,), (1,) * FEW + (-(2**63) - 1,)])
def test_an_integer_that_does_not_fit_is_refused(values: Sequence[int]) -> None:
    with pytest.raises((OverflowError, struct.error)):
        ints(values)


@pytest.mark.parametrize("length", LENGTHS)
def test_ids_texts_and_bytes(core_database: RoleAccess, length: int) -> None:
    values = [None if place % 7 == 3 else place.to_bytes(16, "big") for place in range(length)]
    whole = [place.to_bytes(16, "little") for place in range(length)]
    words = [None if place % 5 == 2 else f"é{place % 11}" for place in range(length)]
    as_bytes: LiteralString = "SELECT coalesce(array_agg(uuid_send(id) ORDER BY place), '{}') "
    unnested: LiteralString = "FROM unnest(%s) WITH ORDINALITY AS one (id, place)"
    assert arrived(core_database, as_bytes + unnested, uuids(values)) == values
    assert arrived(core_database, as_bytes + unnested, uuids(whole)) == whole
    assert arrived(core_database, "SELECT %s", byteas(values)) == values
    assert arrived(core_database, "SELECT %s", texts(words)) == words
