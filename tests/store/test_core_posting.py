"""Posting on the real PostgreSQL."""

from core_kit import bench, burn, credit, inquiry

from hakika.store.server_roles import RoleAccess


async def test_smoke(core_database: RoleAccess) -> None:
    async with bench(core_database) as core:
        a = await core.answers(credit(1), credit(2, 50_00), credit(1), burn(3), credit(3), inquiry(1), inquiry(99), credit(4, 10**8), credit(1, 5))
        for x in a: print(x)
        print(await core.answers(credit(1), burn(1), inquiry(4), burn(4), burn(3)))
        print(await core.rows("select * from account order by id"))
