"""A demo bank's settings: one TOML file, each key also as HAKIKA_<KEY> in the environment.

Unknown keys are refused by name. Paths are relative to the settings file's folder.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

ENVIRONMENT_PREFIX = "HAKIKA_"


class SettingsRefused(ValueError):
    """The settings cannot be used; the message names key and rule."""


class BankSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that a demo bank is told at start."""

    role: Literal["bank"]
    id: str  # our id with the gateway, also the clearing member id in messages
    name: str
    listen: str  # host:port
    books_file: Path
    gateway_url: str
    gateway_public_key_file: Path
    gateway_kid: str
    signing_key_file: Path
    kid: str
    style: Literal["asks_first", "sends_throughout"]
    control_token_file: Path
    health_public_key_file: Path | None = None  # whose statements about our corridor count
    test_wallets: tuple[str, ...] = ()  # synthetic tests pay to these: debited whatever the corridor says
    scale: float = 1.0  # divides policies: when to poll, when to write to customers
    customers: int = 100
    seed: int = 1
    currency: str = "KES"
    opening_balance_minor: int = 100_000_000_00  # of each customer
    public_url: str = ""  # where customers open tracking links; gateway_url when empty
    transfers_per_message: int = 1
    gather_ms: int = 20  # how long a message of several waits for more
    sends_max: int = 32  # messages under way at once
    poll_after_s: float = 90.0  # unscaled; first status inquiry about an accepted transfer
    polls_max: int = 3  # inquiries about one transfer
    notice_after_s: float = 600.0  # unscaled; a customer whose transfer waits longer is told

    @property
    def host_port(self) -> tuple[str, int]:
        """Where to listen."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def tracking_url(self) -> str:
        """Base of tracking links, without a slash at the end."""
        return (self.public_url or self.gateway_url).rstrip("/")


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError("a path is a text that is not empty")


_POSITIVE = (
    "scale",
    "customers",
    "transfers_per_message",
    "sends_max",
    "poll_after_s",
    "notice_after_s",
)


def load(file: Path, environment: Mapping[str, str] | None = None) -> BankSettings:
    """Read and check the settings; SettingsRefused names what does not fit."""
    environment = os.environ if environment is None else environment
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsRefused(f"{file}: {error}") from error
    for field in msgspec.structs.fields(BankSettings):
        value = environment.get(ENVIRONMENT_PREFIX + field.name.upper())
        if value is not None:
            content[field.name] = value
    try:
        settings = msgspec.convert(content, BankSettings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsRefused(f"{file}: {error}") from error
    _check(file, settings)
    folder = file.absolute().parent
    return msgspec.structs.replace(
        settings,
        books_file=folder / settings.books_file,
        gateway_public_key_file=folder / settings.gateway_public_key_file,
        signing_key_file=folder / settings.signing_key_file,
        control_token_file=folder / settings.control_token_file,
        health_public_key_file=folder / settings.health_public_key_file if settings.health_public_key_file else None,
    )


def _check(file: Path, settings: BankSettings) -> None:
    for name in _POSITIVE:
        if getattr(settings, name) <= 0:
            raise SettingsRefused(f"{file}: {name} is greater than zero")
    if not 1 <= settings.transfers_per_message <= 1000:
        raise SettingsRefused(f"{file}: transfers_per_message is 1 to 1000 (pacs.008 as the gateway takes it)")
    host, port = settings.listen.rpartition(":")[::2]
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingsRefused(f"{file}: listen is host:port")
    if not settings.gateway_url.startswith(("http://", "https://")):
        raise SettingsRefused(f"{file}: gateway_url starts with http:// or https://")
