"""Settings of one role: a TOML file, overridden by HAKIKA_<KEY>; unknown keys are refused, all errors at once.

Secrets are never in the file: each `..._file` names a file that holds one. The reference is
docs/reference/settings.md.
"""

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hakika.domain.deadlines import PACKS, scale_refusal
from hakika.domain.money import MINOR_DIGITS

PREFIX = "HAKIKA_"
TABLES = frozenset({"bank", "source", "vantage", "component", "desk", "feed"})  # not from the environment
COMPONENT_KINDS = ("corridor", "channel", "product", "role")
# Variables of our own that are not settings of a role.
NOT_SETTINGS = frozenset({"HAKIKA_CRASH_AT", "HAKIKA_XSD_DIR"})

S = TypeVar("S", bound="FileSettings")


class SettingsRefused(ValueError):
    """Settings do not fit; the message lists every error with its key and rule."""


class FileSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every settings file has: which role it is for."""

    role: str

    def problems(self) -> list[str]:
        """Rules that types cannot say."""
        return []


class RoleSettings(FileSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every role with a door and a database needs. `listen` is host:port."""

    listen: str
    database_url_file: str

    def problems(self) -> list[str]:
        """Rules that types cannot say."""
        host, _, port = self.listen.rpartition(":")
        return [] if host and port.isdigit() and 0 < int(port) < 65536 else ["listen: must be host:port"]

    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host, int(port)


class CoreSettings(RoleSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The core: wallets and ledger."""

    gateway_token_file: str
    operator_token_file: str
    health_token_file: str = ""  # bearer token with which health asks for signals; without one there are none
    test_wallets: list[str] = msgspec.field(default_factory=list)  # MSISDNs of synthetic tests: never counted
    probe_token_file: str = ""  # bearer token with which vantages ask about test wallets, and about nothing else
    currency: str = "KES"

    def problems(self) -> list[str]:
        """Rules that types cannot say."""
        known = self.currency in MINOR_DIGITS
        return [*super().problems(), *([] if known else [f"currency: must be one of {', '.join(MINOR_DIGITS)}"])]


class BankSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bank that may instruct the gateway."""

    id: str
    name: str
    kid: str
    public_key_file: str
    callback_url: str
    rule_pack: str = "house-4h"


class GatewaySettings(RoleSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway: transfers between institutions. `scale` divides policies, never machine timers."""

    core_url: str
    core_token_file: str
    signing_key_file: str
    kid: str
    name: str = "hakika"
    public_url: str
    scale: float = 1.0
    health_token_file: str = ""  # bearer token with which health asks for signals; without one there are none
    test_wallets: list[str] = msgspec.field(default_factory=list)  # MSISDNs of synthetic tests: never counted
    report_url: str = ""  # where customers report that something does not work; without one pages have no such link
    bank_rate_per_s: float = 2000.0
    currencies: list[str] = msgspec.field(default_factory=lambda: ["KES"])
    bank: list[BankSettings] = msgspec.field(default_factory=list)

    def problems(self) -> list[str]:
        """Rules that types cannot say."""
        found = super().problems()
        if not self.scale >= 1:
            found.append("scale: must be 1 or more; it divides deadlines and other policies")
        elif (why := scale_refusal(self.scale)) is not None:
            found.append(f"scale: {why}")
        if not self.bank_rate_per_s > 0:
            found.append("bank_rate_per_s: must be above zero")
        found += [f"currencies: {code} is not known" for code in self.currencies if code not in MINOR_DIGITS]
        found += [
            f"bank {b.id}: rule_pack must be one of {', '.join(PACKS)}" for b in self.bank if b.rule_pack not in PACKS
        ]
        ids = [b.id for b in self.bank]
        return found + [f"bank {i}: is there twice" for i in sorted({i for i in ids if ids.count(i) > 1})]


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role that health asks for its signals."""

    name: str
    url: str
    token_file: str


class VantageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place from which synthetic tests are made, and the key that it signs with."""

    name: str
    kid: str
    public_key_file: str


class ComponentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that people use and that the status page shows: a corridor, a channel, a product.

    `series` is its name among the signals. `public_name` is shown as it is; without one the page says no name
    (banks' names only as agreed). `instead` names components that still work where this one does not. `words` are
    what people call it in public posts, beside its public name.
    """

    series: str
    kind: str
    public_name: str = ""
    instead: list[str] = msgspec.field(default_factory=list)
    words: list[str] = msgspec.field(default_factory=list)


class DeskSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bank's help desk that may pass on what its customers report."""

    bank: str
    token_file: str


class FeedSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public feed (Atom or JSON Feed) whose posts are sorted for reports."""

    name: str
    url: str


class ToldSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bank that is told about its corridor: where it takes statements."""

    id: str
    statements_url: str


class HealthSettings(RoleSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Health: signals, judgement, incidents, the status page. Detectors' times are machine timers, never scaled."""

    operator: str = "Hakika"
    operator_token_file: str
    person_key_file: str
    page_folder: str
    public_url: str
    report_url: str
    zone: str = "Africa/Nairobi"
    scale: float = 1.0
    proxies: list[str] = msgspec.field(default_factory=list)  # networks of ours whose X-Forwarded-For counts
    source: list[SourceSettings] = msgspec.field(default_factory=list)
    vantage: list[VantageSettings] = msgspec.field(default_factory=list)
    component: list[ComponentSettings] = msgspec.field(default_factory=list)
    desk: list[DeskSettings] = msgspec.field(default_factory=list)
    feed: list[FeedSettings] = msgspec.field(default_factory=list)
    bank: list[ToldSettings] = msgspec.field(default_factory=list)
    signing_key_file: str = ""  # Ed25519 key of the statements to banks; needed where a bank is told

    def problems(self) -> list[str]:
        """Rules that types cannot say."""
        found = super().problems()
        if not self.scale >= 1:
            found.append("scale: must be 1 or more; it divides policies")
        if self.bank and not self.signing_key_file:
            found.append("signing_key_file: is required where a bank is told")
        for name, values in (
            ("bank", [one.id for one in self.bank]),
            ("source", [one.name for one in self.source]),
            ("vantage", [one.name for one in self.vantage]),
            ("component", [one.series for one in self.component]),
            ("vantage kid", [one.kid for one in self.vantage]),
            ("desk", [one.bank for one in self.desk]),
            ("feed", [one.name for one in self.feed]),
        ):
            found += [f"{name} {one}: is there twice" for one in sorted({v for v in values if values.count(v) > 1})]
        for network in self.proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                found.append(f"proxies: {error}")
        known = {one.series for one in self.component}
        for component in self.component:
            if component.kind not in COMPONENT_KINDS:
                found.append(f"component {component.series}: kind must be one of {', '.join(COMPONENT_KINDS)}")
            found += [
                f"component {component.series}: instead: no component {i}" for i in component.instead if i not in known
            ]
        return found


class TestedBankSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bank through whose customer API a vantage sends, as its test customer."""

    id: str
    url: str
    customer: int


class ProbeSettings(FileSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vantage: a place from which the ways in are tried for real. Addresses are those that customers use.

    `number` of `of` says when in each period it begins, so that the vantages take turns.
    """

    name: str
    number: int
    of: int
    health_url: str
    signing_key_file: str
    kid: str
    every_s: float = 30.0
    tracking_url: str
    core_url: str = ""  # without one the core's own API is not tried
    core_token_file: str = ""
    test_wallet: str
    test_wallet_blocked: str = ""  # without one no cent is sent that has to come back
    currency: str = "KES"
    amount_minor: int = 1
    memory_file: str
    bank: list[TestedBankSettings] = msgspec.field(default_factory=list)

    def problems(self) -> list[str]:
        """Rules that types cannot say."""
        found = super().problems()
        if not 1 <= self.number <= self.of:
            found.append("number: from 1 to `of`")
        if not self.every_s >= 1:
            found.append("every_s: 1 or more")
        if self.amount_minor < 1:
            found.append("amount_minor: 1 or more")
        if self.core_url and not self.core_token_file:
            found.append("core_token_file: is required with core_url")
        ids = [one.id for one in self.bank]
        return found + [f"bank {one}: is there twice" for one in sorted({one for one in ids if ids.count(one) > 1})]


def load(path: Path, kind: type[S]) -> S:
    """Settings from a file and the environment; SettingsRefused lists everything that is wrong."""
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsRefused(f"{path}: cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsRefused(f"{path}: is not TOML: {error}") from error
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    errors = []
    for name, text in os.environ.items():
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            key = name.removeprefix(PREFIX).lower()
            if key in fields and key not in TABLES:
                values[key] = text
    errors += [f"{key}: is not a setting of {kind.__name__}" for key in values if key not in fields]
    errors += [f"{key}: is required" for key, field in fields.items() if field.required and key not in values]
    if errors:
        raise SettingsRefused(f"{path}: " + "; ".join(errors))
    try:
        settings = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsRefused(f"{path}: {error}") from error
    if problems := settings.problems():
        raise SettingsRefused(f"{path}: " + "; ".join(problems))
    return settings


def secret(path: str) -> str:
    """The one line of a secret file."""
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise SettingsRefused(f"{path}: secret cannot be read: {error.strerror}") from error
