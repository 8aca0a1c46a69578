"""One tracking view for each situation, on the afternoon of 27 July 2023 in Nairobi, for tests and screenshots.

The amounts and people are invented. `SAMPLES` names every situation that has a sentence of its own, so what
walks it walks the catalogue; `hostile` fills every text from outside with what an attacker would send.
"""

from dataclasses import replace
from datetime import UTC, datetime

from hakika.channels.web.reference import encode_reference
from hakika.channels.web.view import Stage, TrackingView
from hakika.domain.reasons import Reason

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
NOON_MS = int(datetime(2023, 7, 27, 9, 0, tzinfo=UTC).timestamp() * 1000)  # 12:00 in Nairobi


def at(hours: int, minutes: int, seconds: int = 0) -> int:
    """An instant of that day by Nairobi's clock; hours above 24 are the next day."""
    return NOON_MS + (hours - 12) * HOUR_MS + minutes * MINUTE_MS + seconds * 1000


HELD = TrackingView(
    reference=encode_reference(bytes(range(7, 23))),
    stage=Stage.HELD,
    as_of_ms=at(14, 5, 12),
    amount_minor=500_00,
    currency="KES",
    bank_name="Savanna Bank",
    debtor_name_masked="ACHIENG O.",
    creditor_name_masked="BARAKA M.",
    creditor_msisdn_masked="0712 *** 678",
    received_ms=at(14, 2, 3),
    sent_ms=None,
    ended_ms=None,
    deadline_ms=at(18, 2, 3),
    acknowledged_ms=None,
    fee_minor=None,
    reason=None,
    position_short=False,
)
IN_DOUBT = replace(HELD, stage=Stage.IN_DOUBT, sent_ms=at(14, 3), as_of_ms=at(14, 9, 40))
COMPLETED = replace(
    HELD, stage=Stage.COMPLETED, sent_ms=at(14, 6, 1), ended_ms=at(14, 6, 2), as_of_ms=at(14, 7), fee_minor=0
)
COMING_BACK = replace(
    HELD,
    stage=Stage.COMING_BACK,
    ended_ms=at(17, 58),
    as_of_ms=at(17, 59, 30),
    reason=Reason.DEADLINE_PASSED,
)
RETURNED = replace(
    COMING_BACK, stage=Stage.RETURNED, acknowledged_ms=at(17, 58, 4), as_of_ms=at(18, 10), reason=Reason.WALLET_UNKNOWN
)
BOTH = replace(COMING_BACK, stage=Stage.RETURNED_BUT_CREDITED, acknowledged_ms=at(17, 58, 4), as_of_ms=at(19, 30))

SAMPLES: dict[str, TrackingView] = {
    "held": HELD,
    "held-position-short": replace(HELD, position_short=True, amount_minor=1_250_050),
    "held-over-night": replace(HELD, received_ms=at(22, 40), deadline_ms=at(26, 40), as_of_ms=at(23, 1)),
    "held-overdue": replace(HELD, as_of_ms=at(18, 2, 30)),
    "sending": replace(HELD, stage=Stage.SENDING, sent_ms=at(14, 5, 11)),
    "in-doubt": IN_DOUBT,
    "past-deadline-in-doubt": replace(IN_DOUBT, stage=Stage.PAST_DEADLINE_IN_DOUBT, as_of_ms=at(18, 20)),
    "completed": COMPLETED,
    "completed-late-with-fee": replace(
        COMPLETED, ended_ms=at(18, 21), as_of_ms=at(18, 25), fee_minor=13_00, amount_minor=1_000_000_00
    ),
    "coming-back": COMING_BACK,
    "coming-back-overdue": replace(COMING_BACK, as_of_ms=at(18, 30)),
    "returned": RETURNED,
    "returned-next-day": replace(RETURNED, as_of_ms=at(24 + 9, 15)),
    "returned-but-credited": BOTH,
    "returning-but-credited": replace(BOTH, acknowledged_ms=None),
    "nameless": replace(HELD, debtor_name_masked="", creditor_name_masked="", bank_name="B"),
}


def hostile(payload: str) -> TrackingView:
    """A return with `payload` as every name that comes from outside."""
    return replace(
        COMING_BACK,
        bank_name=payload,
        debtor_name_masked=payload,
        creditor_name_masked=payload,
        creditor_msisdn_masked=payload,
        reason=Reason.POSITION_SHORT,
    )
