"""The house rules as an ordinary test: import direction, roles, sizes, and what only `clock.py` may do.

The message of each failure names the file, the line and the rule. Over `tests/` only the size limits hold.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "hakika"
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500

# Which packages a package may import, itself always included (design, section 10).
ALLOWED: dict[str, set[str]] = {
    "domain": set(),
    "wire": {"domain", "clock"},
    "store": {"domain", "clock"},
    "services": {"domain", "wire", "store", "clock", "expiry", "ids"},
    "channels": {"domain", "wire", "store", "services", "health", "http1", "clock", "expiry", "ids"},
    "outbound": {"domain", "wire", "clock"},
    "workers": {"domain", "wire", "store", "services", "outbound", "health", "clock", "ids"},
    "counterparties": {"domain", "wire", "http1", "clock"},
    "simulator": {
        "domain", "wire", "store", "services", "channels", "counterparties", "health", "clock", "ids", "settings"
    },
    "health": {"domain", "wire", "store", "services", "outbound", "clock", "ids"},
    "http1": {"clock"},
    "clock": set(),
    "expiry": set(),
    "ids": set(),
    "settings": {"domain"},
    "app": {"*"},
    "app_gateway": {"*"},
    "app_health": {"*"},
    "cli": {"app", "health", "simulator", "counterparties", "store", "clock", "settings", "domain", "wire"},
}  # fmt: skip
ROLES = ("core", "gateway", "health")
PURE_STDLIB = {
    "abc", "collections", "dataclasses", "decimal", "enum", "functools", "itertools", "json", "math", "operator", "re",
    "types", "typing", "__future__",
}  # fmt: skip
BANNED_CALLS = {
    "datetime.now": "clock.now_ms()",
    "datetime.utcnow": "clock.now_ms()",
    "date.today": "clock.now_ms()",
    "uuid4": "clock.new_id()",
    "uuid.uuid4": "clock.new_id()",
    "uuid1": "clock.new_id()",
    "os.urandom": "clock.secret_bytes()",
    "secrets.token_bytes": "clock.secret_bytes()",
    "secrets.token_hex": "clock.secret_bytes()",
    "random.random": "clock.seeded() or clock.jitter()",
    "random.Random": "clock.seeded()",
}
BANNED_MODULE_CALLS = {"time": "clock", "random": "clock", "secrets": "clock"}
EXECUTE = {"execute", "executemany", "copy"}


def _modules(folder: Path) -> Iterator[tuple[Path, ast.Module, str]]:
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text()
        yield path, ast.parse(text), text


SOURCES = list(_modules(SRC))


def _where(path: Path, line: int = 0) -> str:
    return f"{path.relative_to(ROOT)}:{line}" if line else str(path.relative_to(ROOT))


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "." * node.level
            elif node.module == "hakika":
                for alias in node.names:
                    if not alias.name.startswith("__"):
                        yield node.lineno, f"hakika.{alias.name}"
            else:
                yield node.lineno, node.module or ""


def _package(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def test_imports_point_one_way() -> None:
    wrong = []
    for path, tree, _ in SOURCES:
        package = _package(path)
        if package == "__init__":
            continue
        allowed = ALLOWED.get(package)
        assert allowed is not None, f"{_where(path)}: package {package} has no row in ALLOWED"
        for line, name in _imports(tree):
            if name.startswith("."):
                wrong.append(f"{_where(path, line)}: relative import")
            if not name.startswith("hakika."):
                continue
            target = name.split(".")[1]
            if target != package and "*" not in allowed and target not in allowed:
                wrong.append(f"{_where(path, line)}: {package} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_a_role_imports_its_own_store_and_services_alone() -> None:
    wrong = []
    for path, tree, _ in SOURCES:
        role = next((part for part in path.relative_to(SRC).parts if part in ROLES), None)
        if role is None or _package(path) in ("simulator", "cli"):
            continue
        for line, name in _imports(tree):
            parts = name.split(".")
            if len(parts) > 2 and parts[1] in ("store", "services") and parts[2] in ROLES and parts[2] != role:
                wrong.append(f"{_where(path, line)}: role {role} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_domain_is_pure() -> None:
    wrong = [
        f"{_where(path, line)}: domain imports {name}"
        for path, tree, _ in SOURCES
        if _package(path) == "domain"
        for line, name in _imports(tree)
        if not name.startswith("hakika.domain") and name.split(".")[0] not in PURE_STDLIB
    ]
    assert not wrong, "\n".join(wrong)


# The judgement of health: which of its modules see files, a clock or a database is for others to say.
HEALTH_PURE = {
    "detector", "failures", "file_times", "fitting", "fitting_volume", "fusion", "judgement", "localise",
    "observations", "probes", "profile", "reports", "volume",
}  # fmt: skip


def test_judgement_of_health_is_pure() -> None:
    pure = {f"hakika.health.{name}" for name in HEALTH_PURE}
    wrong = [
        f"{_where(path, line)}: judgement imports {name}"
        for path, tree, _ in SOURCES
        if _package(path) == "health" and path.stem in HEALTH_PURE
        for line, name in _imports(tree)
        if name not in pure and name.split(".")[0] not in PURE_STDLIB | {"datetime", "statistics"}
    ]
    assert not wrong, "\n".join(wrong)
    assert {path.stem for path, _, _ in SOURCES if _package(path) == "health"} >= HEALTH_PURE


def test_only_simulator_tests_and_cli_import_the_simulator() -> None:
    wrong = [
        _where(path, line)
        for path, tree, _ in SOURCES
        if _package(path) not in ("simulator", "cli")
        for line, name in _imports(tree)
        if name.startswith("hakika.simulator")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", ["src", "tests", "tools", "bench"])
def test_sizes(folder: str) -> None:
    wrong = []
    for path, tree, text in _modules(ROOT / folder):
        lines = text.count("\n")
        if lines > MODULE_LINES_MAX:
            wrong.append(f"{_where(path)}: {lines} lines, at most {MODULE_LINES_MAX}")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > FUNCTION_LINES_MAX:
                    wrong.append(f"{_where(path, node.lineno)} {node.name}: {size} lines, at most {FUNCTION_LINES_MAX}")
    assert not wrong, "\n".join(wrong)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def test_time_ids_and_chance_come_from_the_clock() -> None:
    wrong = []
    for path, tree, _ in SOURCES:
        if path.name == "clock.py":
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = _dotted(node.func)
            first, _, rest = name.partition(".")
            instead = BANNED_CALLS.get(name) or (BANNED_MODULE_CALLS.get(first) if rest else None)
            if instead:
                wrong.append(f"{_where(path, node.lineno)}: {name}; use {instead}")
    assert not wrong, "\n".join(wrong)


def test_no_bare_assert() -> None:
    wrong = [
        f"{_where(path, node.lineno)}: assert is removed by -O; raise InvariantBroken"
        for path, tree, _ in SOURCES
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_text_is_formatted_into_sql() -> None:
    """T22: the statement given to execute is a name or a literal, never an f-string, sum, % or .format()."""
    wrong = []
    for path, tree, _ in SOURCES:
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in EXECUTE):
                continue
            statement = node.args[0] if node.args else None
            formatted = isinstance(statement, ast.JoinedStr | ast.BinOp) or (
                isinstance(statement, ast.Call) and _dotted(statement.func).endswith("str.format")
            )
            if formatted:
                wrong.append(f"{_where(path, node.lineno)}: text formatted into SQL")
    assert not wrong, "\n".join(wrong)


def test_every_module_says_what_it_decides() -> None:
    wrong = []
    for path, tree, _ in SOURCES:
        docstring = ast.get_docstring(tree)
        if path.name == "__init__.py" and not tree.body:
            continue
        if not docstring:
            wrong.append(f"{_where(path)}: no module docstring")
        elif len(docstring.splitlines()) > 14:
            wrong.append(f"{_where(path)}: module docstring of {len(docstring.splitlines())} lines")
    assert not wrong, "\n".join(wrong)


def test_public_names_have_docstrings() -> None:
    wrong = []
    for path, tree, _ in SOURCES:
        if _package(path) == "__init__":
            continue
        for node in tree.body:
            kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
            if isinstance(node, kinds) and not node.name.startswith("_") and not ast.get_docstring(node):
                wrong.append(f"{_where(path, node.lineno)}: {node.name} has no docstring")
    assert not wrong, "\n".join(wrong)


def test_nothing_is_left_for_later() -> None:
    words = ("TODO", "FIX" + "ME", "XXX", "HACK")
    wrong = [
        f"{_where(path, number)}: {word}"
        for path, _, text in SOURCES
        for number, line in enumerate(text.splitlines(), start=1)
        for word in words
        if word in line
    ]
    assert not wrong, "\n".join(wrong)
