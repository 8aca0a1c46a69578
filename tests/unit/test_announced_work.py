"""Announced work and what is down because of it: a way in may be seen to be down before its role is known to be."""

from uuid import UUID

from hakika.health.assessment import UNAVAILABLE, Assessment, Reading
from hakika.health.deciding import Act, Policy, Window, acts
from hakika.health.incident_events import Opened, Overran
from hakika.health.naming_causes import named_causes

AT_MS = 1_795_428_000_000
API = "channel:core-api"
DOWN = {API: Reading(API, UNAVAILABLE, 3, broken=True, start_ms=AT_MS - 10_000, kinds=("probes",))}
CARRIED = {"role:core": frozenset({API}), "role:gateway": frozenset({"corridor:bank-a"})}
ON_CORE = Window(UUID(int=1), AT_MS - 60_000, AT_MS + 60_000, ("role:core", "corridor:bank-a"))
ON_GATEWAY = Window(UUID(int=2), AT_MS - 60_000, AT_MS + 60_000, ("role:gateway",))


def due(at_ms: int, *windows: Window, carried: dict[str, frozenset[str]] = CARRIED) -> tuple[Act, ...]:
    causes = named_causes(DOWN, carried, {}, at_ms)
    return acts(Assessment(at_ms, DOWN, causes), [], windows, Policy(), previous_ms=at_ms - 5_000)


def test_a_cause_knows_the_roles_that_carry_it() -> None:
    (cause,) = named_causes(DOWN, CARRIED, {}, AT_MS)
    assert (cause.key, cause.roles) == (API, ("role:core",))


def test_work_on_a_role_was_announced_for_what_it_carries() -> None:
    assert due(AT_MS, ON_CORE) == ()
    for windows, carried in (((), CARRIED), ((ON_GATEWAY,), CARRIED), ((ON_CORE,), {})):
        (opened,) = due(AT_MS, *windows, carried=carried)
        assert isinstance(opened.recorded.event, Opened)


def test_what_the_role_carries_and_is_still_down_has_overrun() -> None:
    overran, *_ = due(ON_CORE.to_ms + 1_000, ON_CORE)
    assert isinstance(overran.recorded.event, Overran)
