"""The judging code compiled by mypyc, for the evaluation alone: the same source, three times as fast.

A hundred platform-months are half a thousand million intervals. What is compiled is a copy of the files that run in
`health`, unchanged, kept in `var/bench/compiled/` under a digest of their text; a test compares what both say, bucket
by bucket. Without a C compiler, or where mypyc cannot be used, the evaluation runs the plain files and says so.
"""

import importlib
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from shutil import copy, rmtree, which

import hakika.health

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "hakika" / "health"
BUILT = ROOT / "var" / "bench" / "compiled"
MODULES = (
    "observations", "judgement", "failures", "volume", "profile", "fitting", "fitting_volume", "detector", "probes",
    "reports",
)  # fmt: skip
BUILD_TIMEOUT_S = 600


def use() -> str:
    """Let `hakika.health` be imported from the compiled files; says in words what is used.

    To be called before any of its modules is imported.
    """
    early = sorted(name for name in MODULES if f"hakika.health.{name}" in sys.modules)
    if early:
        raise RuntimeError(f"already imported as plain Python: {', '.join(early)}")
    folder = BUILT / _digest()
    if not (folder / "done").exists():
        trouble = _build(folder)
        if trouble:
            return f"health's plain Python files, because compiling failed: {trouble}"
    sys.path.insert(0, str(folder))  # the library that the compiled modules share lies there
    hakika.health.__path__.insert(0, str(folder / "hakika" / "health"))
    importlib.invalidate_caches()
    return "health's files compiled by mypyc"


def _digest() -> str:
    digest = sha256(sys.version.encode())
    for name in MODULES:
        digest.update((SOURCE / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


def _build(folder: Path) -> str:
    """Compile into the folder; a reason where that cannot be done."""
    compiler = Path(sys.executable).parent / "mypyc"
    if not compiler.exists() or which("gcc") is None:
        return "gcc or mypyc is missing"
    rmtree(folder, ignore_errors=True)
    package = folder / "hakika" / "health"
    package.mkdir(parents=True)
    for name in MODULES:
        copy(SOURCE / f"{name}.py", package)
    (package / "__init__.py").touch()
    (package.parent / "__init__.py").touch()
    files = [f"hakika/health/{name}.py" for name in MODULES]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter's mypyc on our own files
            [str(compiler), *files], cwd=folder, timeout=BUILD_TIMEOUT_S, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        return f"mypyc took longer than {BUILD_TIMEOUT_S} s"
    if done.returncode:
        return (done.stderr or done.stdout).strip().splitlines()[-1]
    for name in MODULES:
        (package / f"{name}.py").unlink()  # so that nothing falls back to the plain files unnoticed
    (folder / "done").touch()
    return ""
