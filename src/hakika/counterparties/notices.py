"""What the bank tells its customers by e-mail, in their language; pure text.

Who holds the money, since when, and what happens by when, in that order. Nothing is promised that no deadline
backs: before the custody receipt the text names no time. Kiswahili and French are drafts for a native reader.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from hakika.domain.money import decimal_text

ZONE = ZoneInfo("Africa/Nairobi")
LANGUAGES = ("en", "sw", "fr")

_TEXTS: dict[str, dict[str, str]] = {
    "sent": {
        "en": "{amount} has left your account for {msisdn}. We have handed it over and wait for the answer. It "
        "arrives or comes back to your account. Do not send again.",
        "sw": "{amount} imetoka kwenye akaunti yako kwenda {msisdn}. Tumeituma na tunasubiri jibu. Itafika au "
        "itarudishwa kwenye akaunti yako. Usitume tena.",
        "fr": "{amount} ont quitté votre compte pour le {msisdn}. Nous les avons transmis et attendons la réponse. "
        "Ils arrivent ou reviennent sur votre compte. Ne renvoyez pas.",
    },
    "held": {
        "en": "{amount} for {msisdn} is held by Hakika since {since}. It arrives or comes back by {by}. Do not send "
        "again. {link}",
        "sw": "{amount} kwa {msisdn} iko kwa Hakika tangu {since}. Itafika au itarudishwa kabla ya {by}. Usitume "
        "tena. {link}",
        "fr": "{amount} pour le {msisdn} sont chez Hakika depuis {since}. Ils arrivent ou reviennent avant {by}. Ne "
        "renvoyez pas. {link}",
    },
    "arrived": {
        "en": "{amount} for {msisdn}: arrived. We were told at {since}.",
        "sw": "{amount} kwa {msisdn}: imefika. Tulijulishwa saa {since}.",
        "fr": "{amount} pour le {msisdn} : arrivés. Nous l'avons appris à {since}.",
    },
    "back": {
        "en": "{amount} for {msisdn} did not arrive. It is back in your account since {since}.",
        "sw": "{amount} kwa {msisdn} haikufika. Imerudi kwenye akaunti yako saa {since}.",
        "fr": "{amount} pour le {msisdn} ne sont pas arrivés. De retour sur votre compte depuis {since}.",
    },
}


def amount_text(amount_minor: int, currency: str) -> str:
    """`KES 1,500.50`, without decimals where they are zero."""
    text = decimal_text(amount_minor, currency)
    whole, point, fraction = text.partition(".")
    grouped = f"{int(whole):,}"
    return f"{currency} {grouped}{point}{fraction}" if fraction.strip("0") else f"{currency} {grouped}"


def msisdn_text(msisdn: str) -> str:
    """`0712 345 678` for a Kenyan number, `+...` for another."""
    if msisdn.startswith("254") and len(msisdn) == 12:
        return f"0{msisdn[3:6]} {msisdn[6:9]} {msisdn[9:]}"
    return f"+{msisdn}"


def time_text(at_ms: int, now_ms: int) -> str:
    """Local time, with the day when it is not today's."""
    at = datetime.fromtimestamp(at_ms / 1000, ZONE)
    today = datetime.fromtimestamp(now_ms / 1000, ZONE).date()
    return f"{at:%H:%M}" if at.date() == today else f"{at:%d %b %H:%M}"


def notice_text(
    kind: str,
    language: str,
    *,
    amount_minor: int,
    currency: str,
    msisdn: str,
    since_ms: int,
    by_ms: int | None = None,
    link: str = "",
) -> str:
    """The whole text of one notice; `held` without a deadline is worded without a promise."""
    key = "sent" if kind == "held" and by_ms is None else kind
    template = _TEXTS[key][language if language in LANGUAGES else "en"]
    return template.format(
        amount=amount_text(amount_minor, currency),
        msisdn=msisdn_text(msisdn),
        since=time_text(since_ms, since_ms),
        by="" if by_ms is None else time_text(by_ms, since_ms),
        link=link,
    ).strip()
