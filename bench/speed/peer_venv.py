"""Peers with packages of their own are measured in an environment of their own, `.venv-peers`, made by `make peers`.

So what tests and Hakika itself need stays small. The interpreter there runs `bench.speed.peer_main` in a session of
its own; whatever happens, all of its processes and files are gone afterwards. The URL goes over in a file that only
its owner can read.
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.speed.peer import PeerFailed, PeerFigure, PeerMissing, from_line
from bench.speed.peer_main import MISSING

ROOT = Path(__file__).parent.parent.parent
VENV = ROOT / ".venv-peers"
HOW_TO_GET = "`make peers` fetches it"
BESIDE_S = 300.0  # beside the warm-up and the window: starting, draining, checking the books
TOLD_TO_END_S = 15.0
ERRORS_SHOWN = 4000


def version(package: str, name: str) -> str:
    """The version of a package in this interpreter. Raises PeerMissing when it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise PeerMissing(name, f"the package {package} is not here; {HOW_TO_GET}") from error


def measured(
    peer: str, database_url: str, *, seconds: float, warmup_s: float, settings: Mapping[str, int]
) -> PeerFigure:
    """What `peer_main` says in the other environment. Raises PeerMissing, PeerFailed."""
    python = VENV / "bin" / "python"
    if not python.exists():
        raise PeerMissing(peer, f"{VENV.name} is not there; {HOW_TO_GET}")
    with TemporaryDirectory(prefix="peer-") as folder:
        secret = Path(folder, "url")
        secret.touch(0o600)
        secret.write_text(database_url)
        command = [str(python), "-m", "bench.speed.peer_main", peer, "--database-url-file", str(secret)]
        command += ["--seconds", str(seconds), "--warmup-s", str(warmup_s)]
        command += [word for name, number in settings.items() for word in ("--set", f"{name}={number}")]
        return _said(peer, command, folder, warmup_s + seconds + BESIDE_S)


def _said(peer: str, command: list[str], folder: str, within_s: float) -> PeerFigure:
    errors = Path(folder, "errors")
    with errors.open("w") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired as error:
            raise PeerFailed(f"{peer}: no figure within {within_s:g} s") from error
        finally:
            _end(process)
    if process.returncode == MISSING:
        raise PeerMissing(peer, output.strip())
    if process.returncode:
        raise PeerFailed(f"{peer}: exit code {process.returncode}: {errors.read_text()[-ERRORS_SHOWN:]}")
    return from_line(output)


def _end(process: "subprocess.Popen[str]") -> None:
    """Let it tidy up, then kill what is left of its session."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(TOLD_TO_END_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
