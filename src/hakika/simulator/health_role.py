"""Health on a platform of one machine: what its settings say, and that its start delays no money.

It starts after everything that moves money answers, on a PostgreSQL of its own, and is tried again for as long as it
does not start: the platform is ready without it. The demo banks are fictional and agree to be named in public.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from hakika.simulator.folder import StateFolder, Value
from hakika.simulator.plan import Plan
from hakika.simulator.vantages import vantage_tables

HEALTH: Literal["health"] = "health"
SOURCES = ("core", "gateway")
TOKENS = (*(f"health-{source}" for source in SOURCES), "health-operator", "health-person")
Tables = dict[str, list[dict[str, Value]]]


def page_folder(folder: StateFolder) -> Path:
    """Where the status page is published; `current` in it is what a web server serves."""
    return folder.path / HEALTH / "page"


def write_health_settings(folder: StateFolder, plan: Plan, urls: Mapping[str, str]) -> Path:
    """The settings file of health; `urls` by process."""
    page_folder(folder).mkdir(parents=True, exist_ok=True)  # the publisher never makes it: a mount may be missing
    values: dict[str, Value] = {
        "role": HEALTH,
        "listen": urls[HEALTH].removeprefix("http://"),
        "database_url_file": str(folder.keys / "health.app.url"),
        "operator_token_file": str(folder.token("health-operator")),
        "person_key_file": str(folder.token("health-person")),
        "page_folder": str(page_folder(folder)),
        "public_url": f"{urls[HEALTH]}/",
        "report_url": f"{urls[HEALTH]}/report",
        "scale": plan.scale,
        "signing_key_file": str(folder.key_pair(HEALTH)[0]),
    }
    tables: Tables = {
        "source": [
            {"name": source, "url": urls[source], "token_file": str(folder.token(f"health-{source}"))}
            for source in SOURCES
        ],
        "component": components(plan),
        "vantage": vantage_tables(folder),
        "bank": [{"id": bank.id, "statements_url": f"{urls[bank.id]}/statements"} for bank in plan.banks],
    }
    return folder.write_settings(HEALTH, values, tables)


def components(plan: Plan) -> list[dict[str, Value]]:
    """What people use on this platform, each with what still works where it does not."""
    corridors = {bank.id: f"corridor:{bank.id}" for bank in plan.banks}
    rows: list[dict[str, Value]] = [
        {
            "series": corridors[bank.id],
            "kind": "corridor",
            "public_name": bank.name,
            "instead": [other for name, other in corridors.items() if name != bank.id],
        }
        for bank in plan.banks
    ]
    rows += [
        {"series": "channel:bank-api", "kind": "channel", "public_name": "API for banks"},
        {"series": "channel:core-api", "kind": "channel", "public_name": "API for wallets"},
        {"series": "channel:tracking", "kind": "channel", "public_name": "Tracking page"},
        {"series": "product:bank-to-wallet", "kind": "product", "public_name": "Bank to wallet"},
        {"series": "role:core", "kind": "role"},
        {"series": "role:gateway", "kind": "role"},
    ]
    return rows
