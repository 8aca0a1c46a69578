"""A demo bank's settings: what is unknown or does not fit is refused by name; the environment wins."""

from pathlib import Path

import msgspec
import pytest

from hakika.counterparties.faults import CRASH_POINTS, FaultSet
from hakika.counterparties.notices import amount_text, msisdn_text, notice_text
from hakika.counterparties.settings import BankSettings, SettingsRefused, load

TEXT = """
role = "bank"
id = "bank-a"
name = "Bahari Bank"
listen = "127.0.0.1:7501"
books_file = "books.sqlite"
gateway_url = "http://127.0.0.1:7402"
gateway_public_key_file = "../keys/gateway.pem"
gateway_kid = "gateway-1"
signing_key_file = "../keys/bank-a.pem"
kid = "bank-a-1"
style = "asks_first"
control_token_file = "/etc/token"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "settings.toml"
    file.write_text(text)
    return file


def test_paths_are_relative_to_the_file_and_the_environment_wins(tmp_path: Path) -> None:
    settings = load(written(tmp_path, TEXT), {"HAKIKA_SCALE": "120", "HAKIKA_CUSTOMERS": "7", "PATH": "x"})
    assert settings.books_file == tmp_path / "books.sqlite"
    assert settings.control_token_file == Path("/etc/token")
    assert (settings.scale, settings.customers, settings.host_port) == (120.0, 7, ("127.0.0.1", 7501))
    assert settings.tracking_url == "http://127.0.0.1:7402"


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("shade = 1", "shade"),
        ('listen = "7501"', "listen"),
        ("scale = 0", "scale"),
        ('style = "sends_never"', "style"),
        ("transfers_per_message = 1001", "transfers_per_message"),
        ('gateway_url = "ftp://x"', "gateway_url"),
        ("id = ", "settings.toml"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, line: str, named: str) -> None:
    key = line.partition(" ")[0]
    kept = "\n".join(one for one in TEXT.splitlines() if not one.startswith(f"{key} "))
    with pytest.raises(SettingsRefused, match=named):
        load(written(tmp_path, f"{kept}\n{line}\n"), {})


def test_people_read_amounts_and_numbers_in_their_form() -> None:
    assert amount_text(50_000, "KES") == "KES 500"
    assert amount_text(123_456_789, "KES") == "KES 1,234,567.89"
    assert amount_text(1_500, "UGX") == "UGX 1,500"
    assert msisdn_text("254712345678") == "0712 345 678"
    assert msisdn_text("256712345678") == "+256712345678"


@pytest.mark.parametrize("language", ["en", "sw", "fr", "de"])
@pytest.mark.parametrize("kind", ["held", "arrived", "back"])
def test_every_notice_has_its_words(language: str, kind: str) -> None:
    for by_ms in (None, 1_690_470_000_000):
        text = notice_text(
            kind,
            language,
            amount_minor=50_000,
            currency="KES",
            msisdn="254712345678",
            since_ms=1_690_460_000_000,
            by_ms=by_ms,
        )
        assert "KES 500" in text and "0712 345 678" in text and "{" not in text
        assert (":" in text) or by_ms is None  # no time is named before there is a deadline


def test_settings_faults_and_crash_points_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "demo-banks.md").read_text("utf-8")
    named = [field.name for struct in (BankSettings, FaultSet) for field in msgspec.structs.fields(struct)]
    missing = [name for name in (*named, *CRASH_POINTS) if f"`{name}`" not in page]
    assert missing == []
