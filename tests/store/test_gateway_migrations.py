"""Migrations over rows that were there before, and beside the code that was there before."""

import shutil
from pathlib import Path

from gateway_kit import ADD_TRANSFER, Sql, Templates

import hakika.store
from hakika.store.migrations import migrate

MIGRATIONS = Path(hakika.store.__file__).parent / "gateway" / "migrations"
HELD = "SELECT status, held FROM transfer"


async def test_what_is_held_is_known_of_rows_from_before(templates: Templates, tmp_path: Path) -> None:
    """0006 suits the code before it, which inserts a transfer in flight and its attempt one after the other."""
    database = templates.copy("gateway", migrated=False)
    for file in sorted(MIGRATIONS.glob("*.sql"))[:5]:
        shutil.copy(file, tmp_path)
    await migrate(database.owner_url, tmp_path)
    sql = Sql.open(database)
    held, *_ = [sql.transfer(status) for status in ("RECEIVED", "COMPLETED", "RETURNED", "REJECTED")]
    assert await migrate(database.owner_url, MIGRATIONS, before_post=True) == ["0006_pre_guards_by_statement.sql"]
    known = dict(sql.reader.execute(HELD).fetchall())
    assert known == {"RECEIVED": True, "COMPLETED": False, "RETURNED": False, "REJECTED": False}
    begun = sql.transfer_values(status="IN_FLIGHT")
    with sql.app.transaction():
        sql.app.execute(ADD_TRANSFER, begun)
        sql.attempt(begun["id"])
    assert (await migrate(database.owner_url, MIGRATIONS))[0] == "0007_post_held_has_a_column.sql"
    sql.move(held, "COMPLETED")
    assert not any(one for _, one in sql.reader.execute(HELD).fetchall())
    sql.close()
    templates.drop(database)
