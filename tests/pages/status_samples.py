"""Situations of the status page: all well, one corridor out, the core out, work that overran, a dispute, no data.

The afternoon of 27 July 2026 in Nairobi. The same values fill tests, golden files and screenshots. `full` is the
page that the size budgets are for: ten components whose every day differs from the last, and five incidents.
"""

from dataclasses import replace
from datetime import date, timedelta

from hakika.clock import seeded
from hakika.health.page.model import (
    HISTORY_DAYS,
    Advice,
    Component,
    Day,
    Direction,
    How,
    Incident,
    Kind,
    Language,
    Maintenance,
    Money,
    Name,
    News,
    OperatorWords,
    Phase,
    SharePoint,
    Stage,
    State,
    StatusModel,
    StillWorks,
    Template,
    Title,
    Update,
)
from hakika.health.page.place import PageSettings

MIDNIGHT_MS = 1_785_099_600_000  # 27 July 2026, 00:00 in Nairobi
TODAY = date(2026, 7, 27)
SETTINGS = PageSettings(base_url="https://status.example/", report_url="https://report.example:8443/status/reports")


def at(hour: int, minute: int = 0, second: int = 0, *, day: int = 0) -> int:
    """An instant of that day in Nairobi, or of `day` days later."""
    return MIDNIGHT_MS + (((24 * day + hour) * 60 + minute) * 60 + second) * 1000


def days(seed: int, *, unknown: int = 0, trouble: float = 0.04) -> tuple[Day, ...]:
    """Ninety days up to today, mostly quiet; the first `unknown` of them were not measured."""
    choose = seeded(seed)
    found = []
    for back in range(HISTORY_DAYS - 1 - unknown, -1, -1):
        day = TODAY - timedelta(days=back)
        measured = 842 if back == 0 else 1440
        if choose.random() >= trouble:
            found.append(Day(day, State.AVAILABLE, measured, measured - choose.randrange(2), 0))
            continue
        worst = choose.choice((State.DEGRADED, State.UNAVAILABLE, State.MAINTENANCE))
        bad = choose.randrange(5, 180)
        found.append(Day(day, worst, measured, measured - bad, bad if worst is State.UNAVAILABLE else 0))
    return tuple(found)


def corridor(id_: str, direction: Direction, name: str | None, label: str, seed: int) -> Component:
    return Component(
        id=id_,
        kind=Kind.CORRIDOR,
        state=State.AVAILABLE,
        since_ms=at(4, day=-3),
        direction=direction,
        public_name=name,
        label=label,
        history=days(seed),
    )


def named(id_: str, kind: Kind, name: Name, seed: int) -> Component:
    return Component(id=id_, kind=kind, state=State.AVAILABLE, since_ms=at(4, day=-3), name=name, history=days(seed))


COMPONENTS = (
    corridor("bank-a-in", Direction.BANK_TO_WALLET, "Demo Bank A", "", 1),
    corridor("bank-a-out", Direction.WALLET_TO_BANK, "Demo Bank A", "", 2),
    corridor("bank-b-in", Direction.BANK_TO_WALLET, None, "B", 3),
    corridor("bank-b-out", Direction.WALLET_TO_BANK, None, "B", 4),
    named("tracking", Kind.CHANNEL, Name.TRACKING_PAGE, 5),
    named("bank-api", Kind.CHANNEL, Name.BANK_API, 6),
    named("core-api", Kind.CHANNEL, Name.CORE_API, 7),
    named("ussd", Kind.CHANNEL, Name.USSD, 8),
    named("bank-transfers", Kind.PRODUCT, Name.BANK_TRANSFERS, 9),
    named("wallet-transfers", Kind.PRODUCT, Name.WALLET_TRANSFERS, 10),
)
SILENT = Template(News.DETECTED_SILENT, {"component": "core-api", "silent_s": 55})
DISAGREES = Template(News.DISPUTED, {"said_ms": at(13, 57), "failed_percent": 81})


def failing(component: str, percent: int) -> Template:
    return Template(News.DETECTED, {"component": component, "failed_percent": percent})


PAST = Incident(
    id="inc_01K0PAST",
    title=Template(Title.COMPONENT_DEGRADED, {"component": "ussd"}),
    stage=Stage.RESOLVED,
    worst=State.DEGRADED,
    started_ms=at(9, 2, day=-11),
    detected_ms=at(9, 3, day=-11),
    published_ms=at(9, 3, 4, day=-11),
    closed_ms=at(9, 58, day=-11),
    components=("ussd",),
    updates=(
        Update(at(9, 3, day=-11), Stage.INVESTIGATING, failing("ussd", 22)),
        Update(at(9, 58, day=-11), Stage.RESOLVED, Template(News.RESOLVED, {"arrived": 212, "returned": 3})),
    ),
    money=Money(held=0, promise_by_ms=None, advice=Advice.NOTHING, arrived=212, returned=3),
)
WELL = StatusModel(
    as_of_ms=at(14, 2, 10),
    next_update_by_ms=at(14, 3, 10),
    operator="DemoPesa",
    components=COMPONENTS,
    incidents=(PAST,),
)
USSD_WORKS = StillWorks("ussd", Template(How.DIAL, {"code": "*334#"}))
TRACKING_WORKS = StillWorks("tracking", Template(How.OPEN_LINK))


def ramp(from_ms: int, to_ms: int, *, broken_ms: int, share: float) -> tuple[SharePoint, ...]:
    """A share of failures a minute: about 1 % before, about `share` from `broken_ms` on, one minute unmeasured."""
    points = []
    for number, instant in enumerate(range(from_ms, to_ms, 60_000)):
        failed = min(1.0, (share if instant >= broken_ms else 0.01) + 0.001 * (number % 7))
        points.append(SharePoint(instant, None if number == 5 else failed))
    return tuple(points)


def worse_today(component: Component, state: State, since_ms: int) -> tuple[Day, ...]:
    """The component's days, today as bad as its state since then makes it."""
    *before, today = component.history
    bad = min(today.measured, (at(14, 2) - max(since_ms, MIDNIGHT_MS)) // 60_000)
    down = bad if state is State.UNAVAILABLE else 0
    return (*before, Day(today.day, state, today.measured, today.measured - bad, down))


def changed(states: dict[str, State], since_ms: int, delay_s: int | None = None) -> tuple[Component, ...]:
    """The components with some states changed."""
    return tuple(
        replace(
            one,
            state=states.get(one.id, one.state),
            since_ms=since_ms if one.id in states else one.since_ms,
            delay_s=delay_s if states.get(one.id) is State.DEGRADED else None,
            history=worse_today(one, states[one.id], since_ms) if one.id in states else one.history,
        )
        for one in COMPONENTS
    )


CORRIDOR_OUT = Incident(
    id="inc_01K15CORRIDOR",
    title=Template(Title.COMPONENT_UNAVAILABLE, {"component": "bank-a-in"}),
    stage=Stage.IDENTIFIED,
    worst=State.UNAVAILABLE,
    started_ms=at(13, 21),
    detected_ms=at(13, 21, 40),
    published_ms=at(13, 21, 44),
    closed_ms=None,
    components=("bank-a-in", "bank-transfers"),
    updates=(
        Update(
            at(13, 21, 44),
            Stage.INVESTIGATING,
            failing("bank-a-in", 96),
        ),
        Update(at(13, 22, 30), Stage.IDENTIFIED, Template(News.LOCATED, {"component": "bank-a-in"})),
        Update(at(13, 22, 31), Stage.IDENTIFIED, Template(News.BANKS_TOLD, {"count": 1})),
        Update(at(13, 40), Stage.IDENTIFIED, Template(News.HELD, {"count": 1840, "promise_ms": at(17, 21)})),
    ),
    money=Money(held=1840, promise_by_ms=at(17, 21), advice=Advice.DO_NOT_SEND_AGAIN, arrived=77),
    still_works=(USSD_WORKS, TRACKING_WORKS),
    failed_share=ramp(at(12, 51), at(14, 2), broken_ms=at(13, 21), share=0.96),
)
ONE_OUT = replace(
    WELL,
    components=changed({"bank-a-in": State.UNAVAILABLE, "bank-transfers": State.DEGRADED}, at(13, 21), 2400),
    incidents=(PAST, CORRIDOR_OUT),
    still_works=(USSD_WORKS, TRACKING_WORKS),
)
MERGED_INCIDENT = Incident(
    id="inc_01K15MERGED",
    title=Template(Title.COMPONENT_SILENT, {"component": "bank-api"}),
    stage=Stage.MERGED,
    worst=State.UNAVAILABLE,
    started_ms=at(13, 20),
    detected_ms=at(13, 21),
    published_ms=at(13, 21, 4),
    closed_ms=None,
    components=("bank-api",),
    updates=(
        Update(at(13, 21, 4), Stage.INVESTIGATING, failing("bank-api", 60)),
        Update(at(13, 26), Stage.MERGED, Template(News.MERGED)),
    ),
    merged_into=CORRIDOR_OUT.id,
)
MERGED = replace(ONE_OUT, incidents=(PAST, CORRIDOR_OUT, MERGED_INCIDENT))
CORE_INCIDENT = Incident(
    id="inc_01K15CORE",
    title=Template(Title.WALLETS_UNAVAILABLE),
    stage=Stage.INVESTIGATING,
    worst=State.UNAVAILABLE,
    started_ms=at(23, 47, day=-1),
    detected_ms=at(23, 48, day=-1),
    published_ms=at(23, 48, 3, day=-1),
    closed_ms=None,
    components=tuple(one.id for one in COMPONENTS if one.id not in ("tracking", "bank-api")),
    updates=(
        Update(
            at(23, 48, 3, day=-1),
            Stage.INVESTIGATING,
            SILENT,
        ),
        Update(at(3, 47), Stage.INVESTIGATING, Template(News.NEW_PROMISE, {"promise_ms": at(2, day=1)})),
        Update(
            at(13, 30),
            Stage.INVESTIGATING,
            OperatorWords(
                {
                    Language.EN: "A disk array has failed. Engineers are on site.\n"
                    "No money is lost: whatever was sent is kept with its deadline.",
                    Language.SW: "Diski zimeharibika. Mafundi wako kazini.\nHakuna pesa iliyopotea.",
                }
            ),
        ),
    ),
    money=Money(held=38211, promise_by_ms=at(2, day=1), advice=Advice.DO_NOT_SEND_AGAIN, returned=1204, late=3),
    still_works=(TRACKING_WORKS, StillWorks("bank-api", Template(How.OWN_BANK))),
    failed_share=ramp(at(23, 0, day=-1), at(14, 2), broken_ms=at(23, 47, day=-1), share=1.0),
)
CORE_OUT = replace(
    WELL,
    components=changed(dict.fromkeys(CORE_INCIDENT.components, State.UNAVAILABLE), at(23, 47, day=-1)),
    incidents=(PAST, CORE_INCIDENT),
    still_works=CORE_INCIDENT.still_works,
)
WINDOW = Maintenance(
    id="mnt_2026_07_27",
    title=Template(Title.PLANNED, {"component": "core-api"}),
    phase=Phase.PLANNED,
    starts_ms=at(0),
    ends_ms=at(4),
    announced_ms=at(16, day=-6),
    changed_ms=at(16, day=-6),
    sequence=0,
    components=("core-api", "wallet-transfers"),
)
AHEAD = replace(
    WINDOW,
    id="mnt_2026_08_02",
    starts_ms=at(1, day=6),
    ends_ms=at(3, 30, day=6),
    title=OperatorWords({Language.EN: "New disks, nothing to do; wallets rest"}),
)
OVERRUN_INCIDENT = Incident(
    id="inc_01K15OVERRUN",
    title=Template(Title.OVERRUN, {"component": "core-api"}),
    stage=Stage.RECOVERING,
    worst=State.UNAVAILABLE,
    started_ms=at(4),
    detected_ms=at(4, 0, 5),
    published_ms=at(4, 0, 6),
    closed_ms=None,
    components=("core-api", "wallet-transfers"),
    updates=(
        Update(at(4, 0, 6), Stage.IDENTIFIED, Template(News.OVERRUN, {"planned_ms": at(4)})),
        Update(at(11, 15), Stage.IDENTIFIED, Template(News.RELAPSED, {"again_ms": at(11, 14)})),
        Update(at(13, 55), Stage.RECOVERING, Template(News.RECOVERING, {"open_percent": 25})),
    ),
    relapses_ms=(at(11, 14),),
    money=Money(held=611, promise_by_ms=at(18), advice=Advice.WAIT),
)
OVERRUN_WINDOW = replace(WINDOW, phase=Phase.OVERRUN, incident=OVERRUN_INCIDENT.id, changed_ms=at(4, 0, 5), sequence=1)
OVERRUN = replace(
    WELL,
    components=changed({"core-api": State.DEGRADED, "wallet-transfers": State.DEGRADED}, at(13, 55), 150),
    incidents=(PAST, OVERRUN_INCIDENT),
    maintenance=(OVERRUN_WINDOW, AHEAD),
    still_works=(USSD_WORKS,),
)
PLANNED = replace(
    WELL,
    as_of_ms=at(0, 30),
    next_update_by_ms=at(0, 31),
    components=changed({"core-api": State.MAINTENANCE, "wallet-transfers": State.MAINTENANCE}, at(0)),
    maintenance=(replace(WINDOW, phase=Phase.RUNNING), AHEAD),
    still_works=(StillWorks("bank-api", Template(How.AS_ALWAYS)),),
)
DISPUTED = replace(
    ONE_OUT,
    incidents=(
        PAST,
        replace(
            CORRIDOR_OUT,
            stage=Stage.DISPUTED,
            updates=(
                *CORRIDOR_OUT.updates,
                Update(at(13, 58), Stage.DISPUTED, DISAGREES),
            ),
        ),
    ),
)
UNKNOWN = replace(
    WELL,
    components=tuple(
        replace(
            one,
            state=State.UNKNOWN if one.kind is not Kind.PRODUCT else one.state,
            since_ms=at(13, 40) if one.id != "bank-b-in" else None,
            history=() if one.id == "bank-b-in" else days(11, unknown=40),
        )
        for one in COMPONENTS
    ),
)
NOTHING = StatusModel(as_of_ms=at(14, 2, 10), next_update_by_ms=at(14, 3, 10), operator="DemoPesa", components=())
SITUATIONS = {
    "well": WELL,
    "one-corridor-out": ONE_OUT,
    "core-out": CORE_OUT,
    "planned": PLANNED,
    "overrun": OVERRUN,
    "disputed": DISPUTED,
    "unknown": UNKNOWN,
    "merged": MERGED,
}


def full() -> StatusModel:
    """The heaviest page that the budgets allow for: no two days alike, five incidents, three of them open."""
    noisy = tuple(replace(one, history=days(100 + place, trouble=0.75)) for place, one in enumerate(ONE_OUT.components))
    long = "Engineers of both banks are looking for the cause; the next word is due within the hour. " * 6
    words = OperatorWords(dict.fromkeys(Language, long))
    updates = tuple(Update(at(13, minute), Stage.IDENTIFIED, words) for minute in range(22, 60))
    open_one = replace(CORRIDOR_OUT, updates=updates, title=OperatorWords(dict.fromkeys(Language, "W" * 200)))
    return replace(
        ONE_OUT,
        components=noisy,
        incidents=(
            open_one,
            replace(CORE_INCIDENT, id="inc_2"),
            replace(OVERRUN_INCIDENT, id="inc_3"),
            replace(PAST, id="inc_4"),
            PAST,
        ),
        maintenance=PLANNED.maintenance,
    )


def hostile(payload: str) -> StatusModel:
    """The same words from outside in every place that takes them."""
    words = OperatorWords(dict.fromkeys(Language, payload + "x"))
    components = tuple(replace(one, public_name=payload) if one.public_name else one for one in ONE_OUT.components)
    incident = replace(
        CORRIDOR_OUT,
        title=words,
        updates=(*CORRIDOR_OUT.updates, Update(at(13, 59), Stage.IDENTIFIED, words)),
        still_works=(StillWorks("ussd", words), StillWorks("ussd", Template(How.DIAL, {"code": payload}))),
    )
    return replace(
        ONE_OUT,
        operator=payload,
        components=components,
        incidents=(PAST, incident),
        maintenance=(replace(AHEAD, title=words),),
        still_works=incident.still_works,
    )
