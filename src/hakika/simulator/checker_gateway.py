"""The gateway's transfer log recounted: statuses from their facts, attempts, returns, custody, what banks are told.

The truth table of a status stands here once more, as SQL: rejected alone, else returned, else posted, else
open, else received. An attempt's id is derived anew from bank, UETR and number. Needs the gateway's database
alone; what the core says about the same ids is compared in checker_crossing, what banks say in checker_custody.
"""

from hakika.simulator.checker_findings import Check, Tally
from hakika.simulator.checker_snapshots import DatabaseSnapshot, recount

STATUS = Check(
    "I9",
    "status",
    """
SELECT concat(t.bank, ' ', t.uetr), format('is stored as %s, its attempts and return make it %s', t.status, f.status)
FROM transfer t
LEFT JOIN (SELECT transfer, bool_or(outcome IS NULL) AS open, bool_or(outcome IS NOT DISTINCT FROM 'posted') AS posted
    FROM attempt GROUP BY transfer) a ON a.transfer = t.id
LEFT JOIN payment_return r ON r.transfer = t.id
CROSS JOIN LATERAL (SELECT CASE
    WHEN t.status = 'REJECTED' AND a.transfer IS NULL AND r.transfer IS NULL THEN 'REJECTED'
    WHEN r.transfer IS NOT NULL THEN 'RETURNED'
    WHEN a.posted THEN 'COMPLETED'
    WHEN a.open THEN 'IN_FLIGHT'
    ELSE 'RECEIVED' END AS status) AS f
WHERE t.status <> f.status
""",
)
REASON = Check(
    "I9",
    "reason",
    """
SELECT concat(t.bank, ' ', t.uetr), format('gives %s as its reason, its return says %s', t.reason, r.reason)
FROM transfer t JOIN payment_return r ON r.transfer = t.id WHERE t.reason IS DISTINCT FROM r.reason
""",
)
# UUID version 8 from SHA-256 over length-prefixed parts: 'attempt', bank, UETR, number.
ATTEMPT_IDS = Check(
    "I10",
    "attempt_ids",
    """
SELECT concat(bank, ' ', uetr), format('attempt %s has the id %s, which does not follow from its transfer', number, id)
FROM (SELECT a.id, a.number, t.bank, t.uetr,
        sha256(int4send(7) || 'attempt'::bytea
            || int4send(octet_length(convert_to(t.bank, 'UTF8'))) || convert_to(t.bank, 'UTF8')
            || int4send(16) || uuid_send(t.uetr) || int4send(4) || int4send(a.number)) AS digest
    FROM attempt a JOIN transfer t ON t.id = a.transfer) AS d
WHERE uuid_send(id) <> set_byte(set_byte(substr(digest, 1, 16), 6, get_byte(digest, 6) & 15 | 128), 8,
    get_byte(digest, 8) & 63 | 128)
""",
)
ATTEMPT_NUMBERS = Check(
    "I10",
    "attempt_numbers",
    """
SELECT concat(t.bank, ' ', t.uetr), format('has %s attempts, numbered from %s to %s', n.times, n.first, n.last)
FROM (SELECT transfer, count(*) AS times, min(number) AS first, max(number) AS last, count(DISTINCT number) AS kinds
    FROM attempt GROUP BY transfer) AS n
LEFT JOIN transfer t ON t.id = n.transfer
WHERE t.id IS NULL OR n.first <> 1 OR n.last <> n.times OR n.kinds <> n.times OR n.last > 64
""",
)
ONE_OPEN = Check(
    "I11",
    "one_open",
    """
SELECT concat(t.bank, ' ', t.uetr), format('has %s open attempts and %s posted ones, %s after a posted one',
    o.open, o.posted, o.later)
FROM (SELECT a.transfer, count(*) FILTER (WHERE outcome IS NULL) AS open,
        count(*) FILTER (WHERE outcome = 'posted') AS posted, count(*) FILTER (WHERE number > first_posted) AS later
    FROM attempt a LEFT JOIN (SELECT transfer, min(number) AS first_posted FROM attempt WHERE outcome = 'posted'
        GROUP BY transfer) p ON p.transfer = a.transfer
    GROUP BY a.transfer) AS o
JOIN transfer t ON t.id = o.transfer WHERE o.open > 1 OR o.later > 0
""",
)
RETURNS = Check(
    "I12",
    "returns",
    """
SELECT concat(t.bank, ' ', t.uetr), format('is returned while attempt %s is %s', a.number, coalesce(a.outcome, 'open'))
FROM payment_return r JOIN transfer t ON t.id = r.transfer JOIN attempt a ON a.transfer = r.transfer
WHERE a.outcome IS NULL OR a.outcome = 'posted'
UNION ALL
SELECT concat(t.bank, ' ', t.uetr), format('has a pre-emptive burn due though attempt %s was sent', a.number)
FROM payment_return r JOIN transfer t ON t.id = r.transfer JOIN attempt a ON a.transfer = r.transfer
WHERE r.burn_due AND a.outcome IN ('refused', 'burnt')
""",
)
RETURN_IDS = Check(
    "I12",
    "return_ids",
    """
SELECT concat(t.bank, ' ', t.uetr),
    format('its return is %s, which does not follow from its bank and UETR', r.return_id)
FROM payment_return r LEFT JOIN transfer t ON t.id = r.transfer
WHERE r.return_id IS DISTINCT FROM
    'RTR' || substr(encode(sha256(convert_to(concat(t.bank, '/', t.uetr), 'UTF8')), 'hex'), 1, 32)
UNION ALL
SELECT concat('transfer ', transfer), format('has %s returns', count(*))
FROM payment_return GROUP BY transfer HAVING count(*) > 1
""",
)
EVIDENCE = Check(
    "I13",
    "evidence",
    """
SELECT concat(t.bank, ' ', t.uetr), format('attempt %s %s', a.number, CASE
    WHEN a.outcome IS NULL THEN 'is open and names an instant or evidence of its closing'
    WHEN a.closed_ms IS NULL THEN 'is closed at no instant'
    WHEN a.outcome = 'not_sent' THEN 'is marked as not sent by another than its first holder'
    WHEN a.outcome = 'refused' AND a.reason IS NULL THEN 'is refused without a reason'
    WHEN a.outcome NOT IN ('posted', 'refused', 'burnt') THEN 'has an unknown outcome'
    ELSE 'is closed without the place of its answer in the core''s chain' END)
FROM attempt a JOIN transfer t ON t.id = a.transfer
WHERE CASE
    WHEN a.outcome IS NULL THEN num_nonnulls(a.closed_ms, a.chain_seq, a.chain_head) > 0
    WHEN a.closed_ms IS NULL THEN true
    WHEN a.outcome = 'not_sent' THEN a.lease_token <> 1 OR a.closed_token IS DISTINCT FROM 1
        OR a.closed_by IS DISTINCT FROM a.lease_holder
    WHEN a.outcome IN ('posted', 'refused', 'burnt') THEN (a.outcome = 'refused' AND a.reason IS NULL)
        OR num_nonnulls(a.core_incarnation, a.chain_slot, a.chain_seq, a.chain_head) < 4
        OR octet_length(a.chain_head) <> 32 OR a.chain_seq < 1
    ELSE true END
""",
)
CUSTODY = Check(
    "I14",
    "custody",
    """
SELECT concat(m.bank, ' ', m.uetr), format('was accepted in message %s, but no transfer has it', m.msg_id)
FROM (SELECT bank, msg_id, unnest(uetrs) AS uetr FROM message) AS m
LEFT JOIN transfer t ON t.bank = m.bank AND t.uetr = m.uetr WHERE t.id IS NULL
UNION ALL
SELECT concat(t.bank, ' ', t.uetr), CASE
    WHEN m.bank IS NULL THEN format('came in message %s, which is not there', t.msg_id)
    WHEN NOT t.uetr = ANY (m.uetrs) THEN format('came in message %s, which does not carry it', t.msg_id)
    ELSE format('was received at %s, its message at %s', t.received_ms, m.received_ms) END
FROM transfer t LEFT JOIN message m ON m.bank = t.bank AND m.msg_id = t.msg_id
WHERE t.status <> 'REJECTED' AND (m.bank IS NULL OR NOT t.uetr = ANY (m.uetrs) OR m.received_ms <> t.received_ms)
""",
)
ORDERS = Check(
    "I14",
    "orders",
    """
SELECT concat(bank, ' message ', msg_id), 'its bytes are not those that were signed for: the hash differs'
FROM message WHERE sha256(body) <> body_sha256
UNION ALL
SELECT concat(bank, ' ', uetr), format('is stored %s times', count(*))
FROM transfer GROUP BY bank, uetr HAVING count(*) > 1
UNION ALL
SELECT concat(bank, ' ', uetr), 'is in custody without amount, creditor or reference' FROM transfer
WHERE status <> 'REJECTED' AND (num_nulls(amount_minor, currency, creditor_msisdn, tracking, content_sha256,
    end_to_end_id) > 0 OR amount_minor <= 0)
""",
)
DEADLINES = Check(
    "I15",
    "deadlines",
    """
SELECT concat(bank, ' ', uetr), format('received %s, valid until %s, return at %s, deadline %s are not in order',
    received_ms, valid_until_ms, return_at_ms, deadline_ms)
FROM transfer WHERE status <> 'REJECTED'
    AND (received_ms < valid_until_ms AND valid_until_ms < return_at_ms AND return_at_ms < deadline_ms) IS NOT TRUE
UNION ALL
SELECT concat(t.bank, ' ', t.uetr),
    format('went back %s ms before anything allowed it', t.valid_until_ms - r.decided_ms)
FROM payment_return r JOIN transfer t ON t.id = r.transfer
LEFT JOIN (SELECT DISTINCT transfer FROM attempt WHERE outcome = 'refused') refused ON refused.transfer = t.id
WHERE r.decided_ms < t.valid_until_ms AND t.recalled_reason IS NULL AND refused.transfer IS NULL
    AND NOT t.burn_first
""",
)
FACTS = Check(
    "I16",
    "facts",
    """
SELECT concat(t.bank, ' ', t.uetr),
    format('%s, and the outbox tells its bank %s completions, %s returns, %s answers to a recall', t.status,
        coalesce(o.finals, 0), coalesce(o.returns, 0), coalesce(o.resolutions, 0))
FROM transfer t
LEFT JOIN (SELECT transfer, count(*) FILTER (WHERE kind = 'final') AS finals,
        count(*) FILTER (WHERE kind = 'return') AS returns, count(*) FILTER (WHERE kind = 'resolution') AS resolutions
    FROM outbox GROUP BY transfer) o ON o.transfer = t.id
WHERE coalesce(o.finals, 0) <> (t.status = 'COMPLETED')::int OR coalesce(o.returns, 0) <> (t.status = 'RETURNED')::int
    OR coalesce(o.resolutions, 0) <> (t.recalled_reason IS NOT NULL AND t.status IN ('COMPLETED', 'RETURNED'))::int
""",
)
MESSAGES = Check(
    "I16",
    "messages",
    """
SELECT concat(t.bank, ' ', t.uetr), CASE
    WHEN o.bank <> t.bank THEN format('its fact %s is addressed to %s', o.kind, o.bank)
    ELSE format('its fact %s travels in message %s of %s, a %s', o.kind, o.msg_id, m.bank, m.kind) END
FROM outbox o JOIN transfer t ON t.id = o.transfer LEFT JOIN outgoing_message m ON m.msg_id = o.msg_id
WHERE o.bank <> t.bank OR (o.msg_id IS NOT NULL AND (m.msg_id IS NULL OR m.bank <> o.bank
    OR m.kind <> CASE o.kind WHEN 'final' THEN 'status' WHEN 'held' THEN 'status' ELSE o.kind END))
UNION ALL
SELECT concat(m.bank, ' message ', m.msg_id), CASE
    WHEN o.times IS NULL THEN format('a %s that carries no fact', m.kind)
    ELSE format('a %s that carries %s facts', m.kind, o.times) END
FROM outgoing_message m
LEFT JOIN (SELECT msg_id, count(*) AS times FROM outbox WHERE msg_id IS NOT NULL GROUP BY msg_id) o
    ON o.msg_id = m.msg_id
WHERE o.times IS NULL OR (m.kind <> 'status' AND o.times <> 1)
UNION ALL
SELECT concat(t.bank, ' ', t.uetr), 'its return is repeated no more, though the bank has not acknowledged it'
FROM payment_return r JOIN transfer t ON t.id = r.transfer JOIN outbox o ON o.transfer = t.id AND o.kind = 'return'
JOIN outgoing_message m ON m.msg_id = o.msg_id WHERE m.settled_ms IS NOT NULL AND r.acknowledged_ms IS NULL
""",
)
BREAKS = Check(
    "I17",
    "breaks",
    """
SELECT CASE WHEN t.id IS NULL THEN 'no transfer' ELSE concat(t.bank, ' ', t.uetr) END,
    format('reconciliation break %s: %s', b.kind, left(b.evidence::text, 200))
FROM reconciliation_break b LEFT JOIN transfer t ON t.id = b.transfer ORDER BY b.seq
""",
)
CHECKS = (
    STATUS, REASON, ATTEMPT_IDS, ATTEMPT_NUMBERS, ONE_OPEN, RETURNS, RETURN_IDS, EVIDENCE, CUSTODY, ORDERS,
    DEADLINES, FACTS, MESSAGES, BREAKS,
)  # fmt: skip

COUNTS = """
SELECT count(*) FILTER (WHERE status <> 'REJECTED'), count(*) FILTER (WHERE status = 'COMPLETED'),
    count(*) FILTER (WHERE status = 'RETURNED'), count(*) FILTER (WHERE status = 'REJECTED'),
    count(*) FILTER (WHERE status = 'RECEIVED'), count(*) FILTER (WHERE status = 'IN_FLIGHT'),
    count(*) FILTER (WHERE status = 'RETURNED' AND r.acknowledged_ms IS NULL),
    count(*) FILTER (WHERE r.burn_due),
    count(*) FILTER (WHERE status IN ('COMPLETED', 'RETURNED') AND coalesce(r.decided_ms, t.status_ms) > t.deadline_ms),
    (SELECT count(*) FROM attempt), (SELECT count(*) FROM reconciliation_break)
FROM transfer t LEFT JOIN payment_return r ON r.transfer = t.id
"""
COUNT_NAMES = (
    "accepted", "completed", "returned", "refused_for_good", "held", "in_flight", "returns_unacknowledged",
    "burns_due", "final_after_deadline", "attempts", "breaks",
)  # fmt: skip
UNFINISHED = Check(
    "I28",
    "unfinished",
    """
SELECT concat(t.bank, ' ', t.uetr), CASE t.status WHEN 'RECEIVED' THEN 'is held, neither completed nor returned'
    WHEN 'IN_FLIGHT' THEN 'is in flight: no answer is known'
    ELSE 'is returned, and its bank has not acknowledged it' END
FROM transfer t LEFT JOIN payment_return r ON r.transfer = t.id
WHERE t.status IN ('RECEIVED', 'IN_FLIGHT') OR (t.status = 'RETURNED' AND r.acknowledged_ms IS NULL)
""",
)
UNTOLD = """
SELECT count(*) FROM transfer t WHERE t.status = 'COMPLETED' AND t.bank <> ALL (%s::text[]) AND NOT EXISTS (
    SELECT FROM outbox o JOIN outgoing_message m ON m.msg_id = o.msg_id
    WHERE o.transfer = t.id AND o.kind = 'final' AND m.settled_ms IS NOT NULL)
"""


def recount_gateway(gateway: DatabaseSnapshot, tally: Tally, *, settled: bool) -> None:
    """Recount the transfer log (I9 to I17); with `settled`, whatever has not ended is a finding (I28)."""
    recount(gateway, CHECKS, tally)
    for name, value in zip(COUNT_NAMES, gateway.one(COUNTS), strict=True):
        tally.counts[name] = value
    if settled:
        recount(gateway, (UNFINISHED,), tally)


def count_untold(gateway: DatabaseSnapshot, booked: list[str]) -> int:
    """COMPLETED transfers that their bank has not confirmed to know, of banks whose books are not at hand."""
    value: int = gateway.one(UNTOLD, (booked,))[0]
    return value
