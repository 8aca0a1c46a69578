"""The one helper through which health calls `outbound/`: never while a database transaction is open."""

from collections.abc import Awaitable
from typing import TypeVar

from hakika.domain.reasons import InvariantBroken
from hakika.store.lane import in_transaction

T = TypeVar("T")


async def call(exchange: Awaitable[T]) -> T:
    """Await one network exchange; InvariantBroken when a transaction is open on this task."""
    if in_transaction():
        raise InvariantBroken("network call inside a database transaction")
    return await exchange
