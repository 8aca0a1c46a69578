"""From readings to causes: what is broken, by where evidence is and is not, with roles and products set beside it.

`localise` names causes among corridors and channels. A product gathers corridors, so alone it is a cause and beside
others an effect of the widest. A role is how a cause is found, not what people use: one that has fallen silent is the
cause of what it carries, unless synthetic tests show that what it carries works; then only our own question failed,
and nothing is said in public.
"""

from collections.abc import Mapping
from dataclasses import replace

from hakika.health.assessment import AVAILABLE, Found, Reading, proper
from hakika.health.localise import Cause, Finding, Health, Kind, Series, causes

DIRECTION = "bank_to_wallet"
PUBLISH = 3
SINGLE = frozenset({Kind.CORRIDOR, Kind.CHANNEL, Kind.PRODUCT})


def named_causes(
    readings: Mapping[str, Reading], carried: Mapping[str, frozenset[str]], reachable: Mapping[str, bool], now_ms: int
) -> tuple[Found, ...]:
    """The causes of everything that is broken, the widest first; `carried` is what each role's source tells of."""
    findings = {_series(name): _finding(one) for name, one in readings.items() if _series(name) is not None}
    known = {series: finding for series, finding in findings.items() if series is not None}
    found = [_found(cause, readings, now_ms) for cause in causes(known, reachable)]
    for role in sorted(name for name, one in readings.items() if name.startswith("role:") and one.broken):
        found = _with_role(found, role, readings, carried.get(role, frozenset()), now_ms)
    for product in sorted(name for name, one in readings.items() if name.startswith("product:") and one.broken):
        found = _with_product(found, product, readings, now_ms)
    return tuple(replace(one, roles=_roles_of(one, carried)) for one in found)


def _roles_of(found: Found, carried: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The roles that carry everything that people use of it; whether they are silent or not."""
    used = proper(found.components)
    return tuple(sorted(role for role, names in carried.items() if used <= names))


def _with_role(
    found: list[Found], role: str, readings: Mapping[str, Reading], carried: frozenset[str], now_ms: int
) -> list[Found]:
    """A silent role names the causes that explain nothing but what it carries; else it is a cause of its own."""
    mine = [one for one in found if carried and set(one.components) <= carried]
    others = [one for one in found if one not in mine]
    if not mine and others and role == "role:core":
        core = next((one for one in others if one.key == "core:"), None)
        if core is not None:
            wider = tuple(sorted({*core.components, role, *_not_well(carried, readings)}))
            return [replace(core, components=wider) if one is core else one for one in others]
    components = {role, *_not_well(carried, readings), *(name for one in mine for name in one.components)}
    if carried and components == {role}:
        return others  # everything that it carries is seen to work
    reading = readings[role]
    starts = [one.start_ms for one in mine]
    start_ms = min([*starts, reading.start_ms if reading.start_ms is not None else now_ms])
    certain = reading.level >= PUBLISH or any(one.certain for one in mine)
    return [Found(role, tuple(sorted(components)), start_ms, certain), *others]


def _with_product(found: list[Found], product: str, readings: Mapping[str, Reading], now_ms: int) -> list[Found]:
    for place, one in enumerate(found):
        if product in one.components:
            return found
        if any(name.startswith("corridor:") for name in one.components) or one.key == "role:gateway":
            wider = replace(one, components=tuple(sorted({*one.components, product})))
            return [*found[:place], wider, *found[place + 1 :]]
    reading = readings[product]
    start_ms = reading.start_ms if reading.start_ms is not None else now_ms
    return [*found, Found(product, (product,), start_ms, reading.level >= PUBLISH)]


def _not_well(carried: frozenset[str], readings: Mapping[str, Reading]) -> set[str]:
    return {name for name in carried if name not in readings or readings[name].state != AVAILABLE}


def _series(name: str) -> Series | None:
    kind, _, rest = name.partition(":")
    if kind == "corridor":
        return Series(bank=rest, direction=DIRECTION)
    return Series(channel=name) if kind == "channel" else None


def _finding(reading: Reading) -> Finding:
    start_s = None if reading.start_ms is None else reading.start_ms / 1000
    if reading.broken:
        return Finding(Health.BAD, start_s)
    well = reading.state == AVAILABLE and reading.level == 0
    return Finding(Health.GOOD if well else Health.UNKNOWN)


def _found(cause: Cause, readings: Mapping[str, Reading], now_ms: int) -> Found:
    components = tuple(sorted(series.channel or f"corridor:{series.bank}" for series in cause.explains))
    key = components[0] if cause.kind in SINGLE and len(components) == 1 else f"{cause.kind.value}:{cause.name}"
    start_ms = now_ms if cause.start_s is None else min(now_ms, int(cause.start_s * 1000))
    certain = any(readings[name].level >= PUBLISH for name in components)
    return Found(key, components, start_ms, certain)
