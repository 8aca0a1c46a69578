"""The database of one role and its three least-privileged users, on an embedded server.

`hakika_<role>_owner` owns the database and its tables and runs migrations; `_app` is what the service uses,
with only what migrations grant it by name; `_reader` looks, in transactions that are read-only unless asked
otherwise. None is a superuser, none may connect anywhere else. Passwords are sent as SCRAM verifiers, so
no log can hold one. Executed again it changes nothing but puts passwords back to what the files say.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, LiteralString, Protocol

import psycopg
from psycopg import sql

from hakika.store.lane import Lane

Role = Literal["core", "gateway", "health"]
USERS: tuple[LiteralString, ...] = ("owner", "app", "reader")
PREPARE_S = 30.0


class Server(Protocol):
    """What is needed of the embedded server."""

    def url(self, user: str = ..., database: str = ...) -> str: ...

    def password(self, user: str) -> str: ...


@dataclass(frozen=True)
class RoleAccess:
    """One role's database: its name, and URLs with passwords (never printed) for its three users."""

    owner_url: str = field(repr=False)
    app_url: str = field(repr=False)
    reader_url: str = field(repr=False)
    database: str


async def prepare_role(server: Server, role: Role, *, database: str | None = None) -> RoleAccess:
    """Create users and database of `role` where missing. Raises store.lane.StoreFault."""
    name = database or f"hakika_{role}"
    users = {kind: f"hakika_{role}_{kind}" for kind in USERS}
    outside = Lane(server.url(), name="hakika roles")
    inside = Lane(server.url(database=name), name="hakika roles")

    async def create(connection: psycopg.AsyncConnection[Any]) -> None:
        for user in users.values():
            await _create_user(connection, user, server.password(user))
        await connection.execute(
            _words("ALTER ROLE ", sql.Identifier(users["reader"]), " SET default_transaction_read_only = on")
        )
        await connection.execute("REVOKE ALL ON DATABASE postgres FROM PUBLIC")
        await create_database(connection, name, owner=users["owner"])

    async def grant(connection: psycopg.AsyncConnection[Any]) -> None:
        await grant_database(connection, name, users["app"], users["reader"])

    try:
        await outside.run(create, deadline_s=PREPARE_S)
        await inside.run(grant, deadline_s=PREPARE_S)
    finally:
        await outside.close()
        await inside.close()
    urls = {kind: server.url(user, name) for kind, user in users.items()}
    return RoleAccess(urls["owner"], urls["app"], urls["reader"], name)


async def create_database(
    connection: psycopg.AsyncConnection[Any], name: str, *, owner: str, template: str = "template1"
) -> None:
    """CREATE DATABASE unless it is there; needs a connection outside any transaction."""
    known = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
    if await known.fetchone() is None:
        of, like = sql.Identifier(owner), sql.Identifier(template)
        await connection.execute(_words("CREATE DATABASE ", sql.Identifier(name), " OWNER ", of, " TEMPLATE ", like))


async def grant_database(connection: psycopg.AsyncConnection[Any], name: str, *users: str) -> None:
    """Let only `users` (and the owner) connect to database `name` and see its schema `public`."""
    allowed = sql.SQL(", ").join([sql.Identifier(user) for user in users])
    database = sql.Identifier(name)
    await connection.execute(_words("REVOKE ALL ON DATABASE ", database, " FROM PUBLIC"))
    await connection.execute(_words("GRANT CONNECT ON DATABASE ", database, " TO ", allowed))
    await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    await connection.execute(_words("GRANT USAGE ON SCHEMA public TO ", allowed))


async def _create_user(connection: psycopg.AsyncConnection[Any], user: str, password: str) -> None:
    known = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (user,))
    if await known.fetchone() is None:
        await connection.execute(_words("CREATE ROLE ", sql.Identifier(user), " LOGIN"))
    verifier = connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256")
    secret = sql.Literal(verifier.decode())
    await connection.execute(_words("ALTER ROLE ", sql.Identifier(user), " LOGIN PASSWORD ", secret))


def _words(*parts: LiteralString | sql.Composable) -> sql.Composed:
    return sql.Composed([sql.SQL(part) if isinstance(part, str) else part for part in parts])
