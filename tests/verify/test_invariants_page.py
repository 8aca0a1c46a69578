"""docs/invariants.md names what exists: decisions, constraints, tests and recounts, for every number."""

import importlib
import re
import sqlite3
from pathlib import Path

import psycopg
import pytest
from checker_books import SCHEMA

from hakika.simulator import checker_guards
from hakika.simulator.checker_findings import CODES, TITLES
from hakika.store.embedded import RoleAccess

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "invariants.md").read_text("utf-8")
HOW_TO = (ROOT / "docs" / "how-to" / "verify.md").read_text("utf-8")
SECTIONS = {
    found.group(1): (found.group(2), found.group(3))
    for found in re.finditer(r"^### (I\d+) (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
GUARDS = """
SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT conname::text FROM pg_constraint UNION ALL SELECT relname::text FROM pg_class WHERE relkind = 'i'
"""
TRIGGERS = """
SELECT tgname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT tgisinternal AND c.relnamespace = 'public'::regnamespace
"""


def _named(code: str, line: str) -> list[str]:
    """What stands between backquotes in one line of a section."""
    body = SECTIONS[code][1]
    found = re.search(rf"^- {line}: (.*)$", body, re.MULTILINE)
    return re.findall(r"`([^`]+)`", found.group(1)) if found else []


def _exists(dotted: str) -> bool:
    """`module.name` or `module.Class.name` under hakika."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(["hakika", *parts[:length]]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            if not hasattr(value, name):
                return False
            value = getattr(value, name)
        return length < len(parts)
    return False


def test_every_invariant_has_its_section_under_its_title() -> None:
    assert list(SECTIONS) == [code for code in CODES if code != "V0"]
    assert {code: title.lower() for code, (title, _) in SECTIONS.items()} == {
        code: title.lower() for code, title in TITLES.items() if code != "V0"
    }


@pytest.mark.parametrize("code", SECTIONS)
def test_what_is_named_exists(
    code: str, core_database: RoleAccess, gateway_database: RoleAccess, health_database: RoleAccess
) -> None:
    decisions, tests, recounts = _named(code, "Python"), _named(code, "Tests"), _named(code, "Recount")
    assert decisions and tests and recounts
    missing = [name for name in decisions if not _exists(name)]
    missing += [name for name in recounts if not _exists(f"simulator.{name}")]
    for test in tests:
        file, _, function = test.partition("::")
        text = (ROOT / file).read_text("utf-8") if (ROOT / file).is_file() else ""
        if not re.search(rf"def {function}\(", text):
            missing.append(test)
    known: set[str] = set()
    for database in (core_database, gateway_database, health_database):
        with psycopg.connect(database.reader_url) as connection:
            known |= {row[0] for row in connection.execute(GUARDS)}
    missing += [name for name in _named(code, "PostgreSQL") if name not in known]
    with sqlite3.connect(":memory:") as books:
        books.executescript(SCHEMA.read_text())
        inside = {row[0] for row in books.execute("SELECT name FROM sqlite_schema")}
    missing += [name for name in _named(code, "SQLite") if name not in inside]
    assert not missing


@pytest.mark.parametrize("code", SECTIONS)
def test_the_guards_on_the_page_are_recounted(code: str) -> None:
    guards = {
        *checker_guards.CORE_TRIGGERS, *checker_guards.CORE_CONSTRAINTS, *checker_guards.CORE_INDEXES,
        *checker_guards.GATEWAY_TRIGGERS, *checker_guards.GATEWAY_CONSTRAINTS, *checker_guards.GATEWAY_INDEXES,
        *checker_guards.HEALTH_TRIGGERS, *checker_guards.HEALTH_CONSTRAINTS,
    }  # fmt: skip
    assert set(_named(code, "PostgreSQL")) <= guards


def test_every_trigger_of_the_databases_is_recounted(
    core_database: RoleAccess, gateway_database: RoleAccess, health_database: RoleAccess
) -> None:
    for database, names in (
        (core_database, checker_guards.CORE_TRIGGERS),
        (gateway_database, checker_guards.GATEWAY_TRIGGERS),
        (health_database, checker_guards.HEALTH_TRIGGERS),
    ):
        with psycopg.connect(database.reader_url) as connection:
            assert sorted(row[0] for row in connection.execute(TRIGGERS)) == sorted(names)


def test_the_how_to_speaks_of_every_code() -> None:
    spoken = set(re.findall(r"\b(?:V0|I\d+)\b", HOW_TO))
    for first, last in re.findall(r"\bI(\d+) to I(\d+)\b", HOW_TO):
        spoken |= {f"I{number}" for number in range(int(first), int(last) + 1)}
    assert spoken == set(CODES)
