"""Columns of a batch as PostgreSQL arrays in binary form, packed at once instead of value by value.

A batch goes to the server as one array a column and is unnested there. Packing them here costs a tenth of
what adapting every value costs. The form is PostgreSQL's array_recv: dimensions, null flag, element type,
length, lower bound, then each element with its length in front; -1 stands for NULL.
"""

import struct
import sys
from array import array
from collections.abc import Sequence
from functools import cache

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

FEW = 128  # up to so many bigints one call packs them all, by a form that is kept; a form for any number would be many
_HEAD = ">iiIii"
_HEADER = struct.Struct(_HEAD)
_EMPTY = struct.Struct(">iiI")
_NULL = b"\xff\xff\xff\xff"
_INT8_LENGTH = b"\x00\x00\x00\x08"
_UUID_LENGTH = b"\x00\x00\x00\x10"
_BYTEA, _INT8, _TEXT, _UUID = 17, 20, 25, 2950


class _Packed:
    """An array in its binary form; the subclass tells its type."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Uuids(_Packed):
    """uuid[]"""


class Ints(_Packed):
    """bigint[]"""


class Texts(_Packed):
    """text[]"""


class Byteas(_Packed):
    """bytea[]"""


class Int:
    """One bigint, or NULL: of the same type whatever its size, so that a statement is prepared once."""

    __slots__ = ("data",)

    def __init__(self, value: int | None) -> None:
        self.data = None if value is None else value.to_bytes(8, "big", signed=True)


class Text:
    """One text, or NULL."""

    __slots__ = ("data",)

    def __init__(self, value: str | None) -> None:
        self.data = None if value is None else value.encode()


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Packed | Int | Text) -> bytes | None:
        return obj.data


class _UuidsDumper(_PackedDumper):
    oid = 2951


class _IntsDumper(_PackedDumper):
    oid = 1016


class _TextsDumper(_PackedDumper):
    oid = 1009


class _ByteasDumper(_PackedDumper):
    oid = 1001


class _IntDumper(_PackedDumper):
    oid = _INT8


class _TextDumper(_PackedDumper):
    oid = _TEXT


psycopg.adapters.register_dumper(Int, _IntDumper)
psycopg.adapters.register_dumper(Text, _TextDumper)
psycopg.adapters.register_dumper(Uuids, _UuidsDumper)
psycopg.adapters.register_dumper(Ints, _IntsDumper)
psycopg.adapters.register_dumper(Texts, _TextsDumper)
psycopg.adapters.register_dumper(Byteas, _ByteasDumper)


def uuids(values: Sequence[bytes | None]) -> Uuids:
    """Ids of 16 bytes as uuid[]."""
    if None not in values:
        body = _UUID_LENGTH.join([b"", *values])  # type: ignore[list-item]
        return Uuids(_wrapped(_UUID, len(values), body, nulls=False))
    return Uuids(_array(_UUID, [_NULL if v is None else _UUID_LENGTH + v for v in values], nulls=True))


def ints(values: Sequence[int | None]) -> Ints:
    """Integers as bigint[]."""
    count = len(values)
    if None in values:
        parts = [_NULL if v is None else _INT8_LENGTH + v.to_bytes(8, "big", signed=True) for v in values]
        return Ints(_array(_INT8, parts, nulls=True))
    if count == 0:
        return _NO_INTS
    if count <= FEW:
        fields = [8] * (2 * count)  # each value behind its length
        fields[1::2] = values  # type: ignore[assignment]
        return Ints(_few(count).pack(1, 0, _INT8, count, 1, *fields))
    packed = array("q", values)  # type: ignore[type-var]
    if sys.byteorder == "little":
        packed.byteswap()
    raw = packed.tobytes()
    body = bytearray(_INT8_LENGTH + bytes(8)) * count
    for place in range(8):  # every 8 bytes of `raw` behind a length of their own, byte by byte for all at once
        body[4 + place :: 12] = raw[place::8]
    return Ints(_wrapped(_INT8, count, bytes(body), nulls=False))


def texts(values: Sequence[str | None]) -> Texts:
    """Strings as text[]; quick where few of them differ."""
    forms = {value: _sized(None if value is None else value.encode()) for value in set(values)}
    return Texts(_array(_TEXT, [forms[value] for value in values], nulls=True))


def byteas(values: Sequence[bytes | None]) -> Byteas:
    """Byte strings as bytea[]."""
    return Byteas(_array(_BYTEA, [_sized(value) for value in values], nulls=True))


@cache
def _few(count: int) -> struct.Struct:
    """A whole bigint[] of so many."""
    return struct.Struct(_HEAD + "iq" * count)


def _sized(value: bytes | None) -> bytes:
    return _NULL if value is None else len(value).to_bytes(4, "big") + value


def _array(oid: int, parts: list[bytes], *, nulls: bool) -> bytes:
    return _wrapped(oid, len(parts), b"".join(parts), nulls=nulls)


def _wrapped(oid: int, count: int, body: bytes, *, nulls: bool) -> bytes:
    if count == 0:
        return _EMPTY.pack(0, 0, oid)
    return _HEADER.pack(1, nulls, oid, count, 1) + body


_NO_INTS = Ints(_wrapped(_INT8, 0, b"", nulls=False))
