"""The pages about probes and reports name every kind of refusal, every way in and every setting of a vantage."""

import pkgutil
from pathlib import Path

import msgspec

from hakika import settings
from hakika.health.vantage import ways
from hakika.services.health import evidence
from hakika.services.health.evidence import Refused
from hakika.settings import CoreSettings, GatewaySettings, HealthSettings, ProbeSettings

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PROBES = (REFERENCE / "probes.md").read_text("utf-8")
REPORTS = (REFERENCE / "reports.md").read_text("utf-8")
SETTINGS = (REFERENCE / "settings.md").read_text("utf-8")


def test_every_kind_of_refusal_is_documented() -> None:
    assert [kind for kind in Refused if f"`{kind}`" not in (PROBES if kind.startswith("probe") else REPORTS)] == []


def test_every_way_in_is_documented() -> None:
    names = [module.name.replace("_", "-") for module in pkgutil.iter_modules(ways.__path__)]
    assert names
    assert [name for name in names if f"`{name}`" not in PROBES] == []


def test_every_setting_is_documented() -> None:
    for kinds, page in (
        ((ProbeSettings, settings.TestedBankSettings), PROBES),
        ((CoreSettings, GatewaySettings), SETTINGS),
    ):
        named = [field.name for kind in kinds for field in msgspec.structs.fields(kind) if field.name != "bank"]
        assert [name for name in named if f"`{name}`" not in page] == []
    tables = ("source", "vantage", "component", "desk", "feed", "bank")
    named = [field.name for field in msgspec.structs.fields(HealthSettings) if field.name not in tables]
    assert [name for name in named if f"`{name}`" not in SETTINGS] == []


def test_the_bounds_are_those_of_the_page() -> None:
    for bound in (evidence.NETWORK_PERSONS_MAX, evidence.DESK_PERSONS_MAX, evidence.FEED_PERSONS_MAX):
        assert f"| {bound:,} |" in REPORTS
