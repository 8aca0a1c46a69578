"""From the gateway's rows to what a tracking page may say: one stage for each set of facts.

While an attempt is open the page never names a holder; for the first seconds it says "being credited", after
that "may already be there, being established", which is also what it says of a transfer older than a restore.
Names and numbers are masked here and leave whole nowhere.
"""

from collections.abc import Awaitable, Callable

from hakika.channels.web.reference import encode_reference
from hakika.channels.web.view import Stage, TrackingView
from hakika.domain.masking import mask_msisdn, mask_name
from hakika.domain.reasons import InvariantBroken, Reason
from hakika.services.gateway.tracking import Tracked, Tracking
from hakika.store.gateway.lookups import TrackedRow

SENDING_MS = 3_000  # an answer takes milliseconds; after this the page says that it is being established


def tracking_lookup(tracking: Tracking) -> Callable[[bytes], Awaitable[TrackingView | None]]:
    """The look-up that the tracking routes call; NotKnown passes through with its instant."""

    async def lookup(reference: bytes) -> TrackingView | None:
        found = await tracking.find(reference)
        return view_of(reference, found) if found else None

    return lookup


def view_of(reference: bytes, found: Tracked) -> TrackingView | None:
    """The page's facts; None for a stored refusal, which never had a page."""
    row = found.row
    if row.status == "REJECTED":
        return None
    stage = _stage(row, found.as_of_ms)
    return TrackingView(
        reference=encode_reference(reference),
        stage=stage,
        as_of_ms=found.as_of_ms,
        amount_minor=row.amount_minor,
        currency=row.currency,
        bank_name=row.bank_name,
        debtor_name_masked=mask_name(row.debtor_name or ""),
        creditor_name_masked=mask_name(row.creditor_name or ""),
        creditor_msisdn_masked=mask_msisdn(row.creditor_msisdn),
        received_ms=row.received_ms,
        sent_ms=_sent_ms(row),
        ended_ms=row.status_ms if row.status in ("COMPLETED", "RETURNED") else None,
        deadline_ms=row.deadline_ms,
        acknowledged_ms=row.acknowledged_ms,
        fee_minor=row.fee_minor,
        reason=Reason(row.reason) if row.reason and row.status == "RETURNED" else None,
        position_short=row.position_short,
        bank_id=row.bank,
    )


def _sent_ms(row: TrackedRow) -> int | None:
    """When it was sent to the wallet; older than a restore it may have been at any time since it was received."""
    lost = row.burn_first and row.status in ("RECEIVED", "IN_FLIGHT")
    return row.open_since_ms or (row.received_ms if lost else None)


def _stage(row: TrackedRow, now_ms: int) -> Stage:
    match row.status:
        case "RECEIVED" if row.burn_first:
            return Stage.PAST_DEADLINE_IN_DOUBT if now_ms > row.deadline_ms else Stage.IN_DOUBT
        case "RECEIVED":
            return Stage.HELD
        case "IN_FLIGHT":
            if now_ms > row.deadline_ms:
                return Stage.PAST_DEADLINE_IN_DOUBT
            sent_ms = row.open_since_ms or now_ms
            return Stage.SENDING if now_ms - sent_ms < SENDING_MS else Stage.IN_DOUBT
        case "COMPLETED":
            return Stage.COMPLETED
        case "RETURNED":
            if row.credited_late:
                return Stage.RETURNED_BUT_CREDITED
            return Stage.RETURNED if row.acknowledged_ms is not None else Stage.COMING_BACK
        case other:
            raise InvariantBroken(f"status {other} has no stage")
