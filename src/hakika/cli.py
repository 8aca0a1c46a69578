"""The command `hakika`: what there is to run, each with its help, an example and its exit status.

Bodies import what they need when they run, so that help appears at once and a role loads only its own code.
Exit status everywhere: 0 done, 1 a promise is broken or it could not be done (the reason is printed), 2 the
command line was not understood. Output that is data comes as JSON with --json.
"""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from hakika import __version__

UP_STATE = Path("var/up")

app = App(
    name="hakika",
    help="Mobile money whose owner always knows where the money is.",
    help_format="markdown",
    version=__version__,
    version_flags=["--version"],
)

incarnation = App(
    name="incarnation", help="Lives of a role's database: a restore or a lossy failover begins the next one."
)
app.command(incarnation)
health = App(name="health", help="Detection, tried on files of measurements.", help_format="markdown")
app.command(health)

State = Annotated[Path, Parameter(help="Folder of the platform's data.")]
AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]


@app.command
def up(
    *,
    state: State = UP_STATE,
    fresh: Annotated[bool, Parameter(negative=(), help="Start over: remove what is in the folder.")] = False,
    ready_file: Annotated[Path | None, Parameter(help="Written (JSON) once everything answers.")] = None,
    scale: Annotated[float, Parameter(help="Divide deadlines and other policies by this.")] = 1.0,
    probe_every: Annotated[float, Parameter(help="Seconds between test cents through every way in; 0: none.")] = 30.0,
) -> int:
    """Run everything on this machine until Ctrl-C: core, gateway, health, two demo banks, their databases, the links.

    Data are kept. A second start on the same folder shows the table of the platform that runs. Exit status 1
    where it does not start.

    Example: `hakika up --scale 60 --ready-file ready.json`
    """
    from hakika.simulator import up as platform

    if scale < 1:
        return _refused("--scale is 1 or more: it divides")
    if probe_every and not probe_every >= 3:
        return _refused("--probe-every is 3 or more, or 0")
    return platform.run(state, fresh=fresh, scale=scale, ready_file=ready_file, probe_every_s=probe_every)


@app.command
def serve(
    role: Literal["core", "gateway", "health", "probe", "bank"],
    *,
    settings: Annotated[Path, Parameter(help="The role's settings file (TOML).")],
) -> int:
    """Run one role until SIGTERM, as it runs in production.

    Every key of the settings file can be given as HAKIKA_<KEY> in the environment. Exit status 1 where the
    settings do not fit, with every error named.

    Example: `hakika serve core --settings /etc/hakika/core.toml`
    """
    if role == "bank":
        from hakika.counterparties import bank
        from hakika.counterparties import settings as bank_settings

        try:
            bank.run(settings)
        except bank_settings.SettingsRefused as error:
            return _refused(str(error))
        return 0
    from hakika import app as roles
    from hakika.settings import SettingsRefused

    try:
        {
            "core": roles.serve_core,
            "gateway": roles.serve_gateway,
            "health": roles.serve_health,
            "probe": roles.serve_probe,
        }[role](settings)
    except SettingsRefused as error:
        return _refused(str(error))
    return 0


@app.command(name="break")
def break_link(
    link: Annotated[str, Parameter(help="A link's name; `hakika links` lists them.")],
    *,
    how: Annotated[
        Literal["blackhole", "deaf", "refuse", "busy"],
        Parameter(
            help="blackhole: reads all, answers nothing. deaf: answers are lost. refuse: no connection. "
            "busy: answers 503 at once."
        ),
    ] = "blackhole",
    state: State = UP_STATE,
) -> int:
    """Break one link of a running platform. Exit status 1 where there is none, or no such link.

    Example: `hakika break gateway-core --how deaf`
    """
    answer = _ask(state, {"do": "break", "link": link, "how": how})
    if answer is None:
        return 1
    print(f"{link} is broken ({how}). Mend it with: hakika mend {link}")
    return 0


@app.command
def mend(
    link: Annotated[str, Parameter(help="A link's name, or `all`.")],
    *,
    state: State = UP_STATE,
) -> int:
    """Mend one link of a running platform, or all of them. Exit status 1 where there is none, or no such link.

    Example: `hakika mend all`
    """
    answer = _ask(state, {"do": "mend", "link": link})
    if answer is None:
        return 1
    print(f"{', '.join(answer['links'])}: open")
    return 0


@app.command
def links(*, state: State = UP_STATE, json: AsJson = False) -> int:
    """Show the links of a running platform, how each is, and what has happened on it.

    Example: `hakika links --json`
    """
    answer = _ask(state, {"do": "links"})
    if answer is None:
        return 1
    if json:
        return _print_json({key: answer[key] for key in ("links", "dead", "pids")})
    for row in answer["links"]:
        seen = row["counts"].get("request.messages", 0)
        print(f"{row['link']:<16} {row['mode']:<10} {row['shown']:<22} {seen:>8} requests")
    if answer["dead"]:
        print(f"not running at this moment: {', '.join(answer['dead'])}")
    return 0


@app.command
def replay(
    scenario: Annotated[Path, Parameter(help="A scenario file (TOML).")],
    *,
    seed: Annotated[int | None, Parameter(help="Instead of the scenario's own.")] = None,
    state: Annotated[Path | None, Parameter(help="Folder for data and reports [var/replay/<scenario>].")] = None,
    quick: Annotated[
        bool, Parameter(negative=(), help="The same story faster, or with a tenth of the demand: for a look.")
    ] = False,
    report: Annotated[Path | None, Parameter(help="Also write report.json here.")] = None,
    json: AsJson = False,
) -> int:
    """Play an outage through real processes, sockets and databases, and judge every transfer at the end.

    The folder is made afresh each time; report.html and report.json are left in it. Exit status 0 where every
    promise was kept, 1 where one was broken: the transfers are named.

    Example: `hakika replay outages/2023-07-27.toml`
    """
    from hakika.simulator import replay as player

    return player.run(scenario, seed=seed, state=state, quick=quick, report=report, as_json=json)


@app.command
def verify(
    *,
    state: Annotated[Path | None, Parameter(help="Folder of a platform [var/up].")] = None,
    core_url: Annotated[str | None, Parameter(help="The core's database.")] = None,
    gateway_url: Annotated[str | None, Parameter(help="The gateway's database.")] = None,
    health_url: Annotated[str | None, Parameter(help="Health's database.")] = None,
    books: Annotated[list[str] | None, Parameter(help="BANK=FILE, once a bank.")] = None,
    settled: Annotated[bool, Parameter(negative=(), help="Demand that every transfer has ended.")] = False,
    deadline_s: Annotated[float, Parameter(help="Seconds after which a part counts as unread.")] = 300,
    json: AsJson = False,
) -> int:
    """Recount the databases and the banks' books independently, and compare them to the cent.

    Exit status 0 where everything agrees, 1 where something does not (each finding is named), 2 where something
    could not be looked at.

    Example: `hakika verify --state var/replay/2023-07-27 --json`
    """
    from hakika.simulator import checker

    return checker.command(
        state=state,
        core_url=core_url,
        gateway_url=gateway_url,
        health_url=health_url,
        books=books or [],
        as_json=json,
        settled=settled,
        deadline_s=deadline_s,
    )


@app.command
def migrate(
    role: Literal["core", "gateway", "health"],
    *,
    url: Annotated[str, Parameter(help="The database, as its owner: postgresql://...")],
    before_post: Annotated[
        bool,
        Parameter(negative=(), help="Stop before the first migration that the previous release cannot bear."),
    ] = False,
) -> int:
    """Bring a role's database to this release. Run again after a lost connection: it takes up where it was.

    Example: `hakika migrate core --url postgresql://owner@db/hakika_core`
    """
    import asyncio
    import importlib

    from hakika.store.lane import StoreFault
    from hakika.store.migrations import MigrationRefused
    from hakika.store.migrations import migrate as apply

    package = importlib.import_module(f"hakika.store.{role}")
    try:
        names = asyncio.run(apply(url, Path(package.__path__[0]) / "migrations", before_post=before_post))
    except (MigrationRefused, StoreFault) as error:
        return _refused(str(error))
    print("\n".join(names) if names else "nothing to do")
    return 0


@incarnation.command(name="raise")
def raise_incarnation(
    role: Literal["core", "gateway"],
    *,
    url: Annotated[str, Parameter(help="The restored database, as its owner: postgresql://...")],
    reason: Annotated[str, Parameter(help="Kept in the database: which copy, of when, why.")],
) -> int:
    """Declare that a role's database was put back to an earlier moment, before the role is started on it.

    Both roles then make good by themselves what the copy does not know. Declaring it twice does no harm. Exit
    status 1 where the database does not answer, or refuses.

    Example: `hakika incarnation raise gateway --url postgresql://owner@db/hakika_gateway --reason "copy of 02:00"`
    """
    import psycopg

    from hakika import app as roles
    from hakika.store.lane import StoreFault

    if not reason.strip():
        return _refused("--reason says which copy was put back, and why")
    try:
        number, marked = roles.raise_incarnation(role, url, reason)
    except (StoreFault, psycopg.Error) as error:
        return _refused(str(error).strip())
    print(f"{role} is in incarnation {number}")
    if role == "gateway":
        print(f"{marked} transfers without an end are burnt under all their ids before they end")
    return 0


@health.command
def evaluate(
    file: Annotated[Path, Parameter(help="A CSV: time, status, count; or a time and a value.")],
    *,
    failure: Annotated[
        list[str] | None,
        Parameter(consume_multiple=True, negative=(), help="Statuses that are technical failures."),
    ] = None,
    group: Annotated[
        list[str] | None,
        Parameter(consume_multiple=True, negative=(), help="Columns that tell several series apart."),
    ] = None,
    fit_until: Annotated[
        str | None,
        Parameter(help="Where quiet data ends, ISO or unix time; without it half of each series is taken for quiet."),
    ] = None,
    time: Annotated[str | None, Parameter(help="The column of times, where its name does not say so.")] = None,
    value: Annotated[str | None, Parameter(help="The column of values, where its name does not say so.")] = None,
) -> int:
    """Run the detector over a file of measurements; each alarm is a line of JSON.

    Exit status 0 where the file was judged, whatever was found; 1 where it cannot be read, with the row and the
    rule; 2 where the command line was not understood.

    Example: `hakika health evaluate acquirer.csv --failure failed reversed --fit-until 2026-03-01T00:00:00Z`
    """
    from hakika.health import evaluate as evaluation
    from hakika.health.series_file import Columns

    columns = Columns(time, value, tuple(group or ()), tuple(failure or ()))
    return evaluation.run(file, columns, fit_until)


def _ask(state: Path, request: dict[str, str]) -> dict[str, Any] | None:
    import asyncio

    from hakika.simulator.control import ControlFault, ask

    try:
        answer: dict[str, Any] = asyncio.run(ask(state, request))
    except ControlFault as error:
        _refused(str(error))
        return None
    return answer


def _refused(why: str) -> int:
    print(f"hakika: {why}", file=sys.stderr)
    return 1


def _print_json(content: object) -> int:
    import json

    print(json.dumps(content, indent=1, ensure_ascii=False))
    return 0


def main() -> None:
    """Run a command; its result is the exit status."""
    try:
        result = app(exit_on_error=False, print_error=True)
    except CycloptsError:
        sys.exit(2)
    sys.exit(result if isinstance(result, int) else 0)


if __name__ == "__main__":
    main()
