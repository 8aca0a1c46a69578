"""The three vantages of a platform on one machine: keys, settings and processes of their own.

They meet the platform as outsiders do: banks through their customer API, the gateway through its public address, the
core with a token that opens test wallets alone. What a vantage sends through a bank leaves by that bank's link, so a
broken link is seen. Each bank has one customer more than people use, whose cents these are.
"""

from collections.abc import Mapping
from pathlib import Path

from hakika.simulator.folder import StateFolder, Value
from hakika.simulator.plan import CURRENCY, TEST_WALLET, TEST_WALLET_BLOCKED, BankPlan, Plan

VANTAGES = ("probe-1", "probe-2", "probe-3")
PROBE_TOKEN = "probe-core"  # noqa: S105 - the name of the file that holds it
CORE_SETTINGS = "probe_token_file"


def test_customer(bank: BankPlan) -> int:
    """The customer whose money synthetic tests send; people are 1 to `bank.customers`."""
    return bank.customers + 1


def write_vantage_settings(folder: StateFolder, plan: Plan, urls: Mapping[str, str]) -> dict[str, Path]:
    """The settings file of each vantage; `urls` by process."""
    return {name: _write(folder, plan, urls, name, number) for number, name in enumerate(VANTAGES, start=1)}


def vantage_tables(folder: StateFolder) -> list[dict[str, Value]]:
    """The vantages as health is told them."""
    return [{"name": name, "kid": _kid(name), "public_key_file": str(folder.key_pair(name)[1])} for name in VANTAGES]


def _write(folder: StateFolder, plan: Plan, urls: Mapping[str, str], name: str, number: int) -> Path:
    values: dict[str, Value] = {
        "role": "probe",
        "name": name,
        "number": number,
        "of": len(VANTAGES),
        "every_s": plan.probe_every_s,
        "health_url": urls["health"],
        "signing_key_file": str(folder.key_pair(name)[0]),
        "kid": _kid(name),
        "tracking_url": urls["gateway"],
        "core_url": urls["core"],
        "core_token_file": str(folder.token(PROBE_TOKEN)),
        "test_wallet": TEST_WALLET,
        "test_wallet_blocked": TEST_WALLET_BLOCKED,
        "currency": CURRENCY,
        "memory_file": str(folder.settings(name).with_name("reference")),
    }
    banks: list[dict[str, Value]] = [
        {"id": bank.id, "url": urls[bank.id], "customer": test_customer(bank)} for bank in plan.banks
    ]
    return folder.write_settings(name, values, {"bank": banks})


def _kid(name: str) -> str:
    return f"{name}-1"
