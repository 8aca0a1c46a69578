"""The core's ledger recounted from its entries: balances, chains of balances, sets, reservations, limits.

Every account is summed anew from the entries that name it and compared with what is stored, on the account and
on each entry. Nothing is taken from the code that posts: what an entry does to a balance is written down
here once more, as SQL over the documented tables. The hash chain has a file of its own.
"""

from collections.abc import Mapping
from types import MappingProxyType

from hakika.simulator.checker_findings import Check, Tally
from hakika.simulator.checker_snapshots import DatabaseSnapshot, recount

SUMS = """
SELECT currency, (sum(debits_posted) - sum(credits_posted))::bigint,
    (sum(debits_pending) - sum(credits_pending))::bigint
FROM account GROUP BY currency ORDER BY currency
"""
MAGNITUDES = """
SELECT count(*) FILTER (WHERE kind <> 'burn' AND refusal IS NULL), count(*) FILTER (WHERE refusal IS NOT NULL),
    count(*) FILTER (WHERE kind = 'burn'), (SELECT count(*) FROM batch), (SELECT count(*) FROM anchor),
    (SELECT max(number) FROM incarnation)
FROM entry
"""

BALANCES = Check(
    "I2",
    "balances",
    """
WITH moved AS (
    SELECT entry.debit, entry.credit,
        CASE entry.kind WHEN 'posted' THEN entry.amount_minor WHEN 'post' THEN entry.amount_minor ELSE 0 END AS posted,
        CASE entry.kind WHEN 'pending' THEN entry.amount_minor WHEN 'posted' THEN 0
            ELSE -coalesce(held.amount_minor, 0) END AS pending
    FROM entry LEFT JOIN entry AS held ON held.id = entry.pending_id
    WHERE entry.refusal IS NULL AND entry.kind <> 'burn'
), summed AS (
    SELECT account, sum(debits_posted) AS debits_posted, sum(credits_posted) AS credits_posted,
        sum(debits_pending) AS debits_pending, sum(credits_pending) AS credits_pending
    FROM (
        SELECT debit AS account, posted AS debits_posted, 0 AS credits_posted, pending AS debits_pending,
            0 AS credits_pending FROM moved
        UNION ALL SELECT credit, 0, posted, 0, pending FROM moved
    ) AS side GROUP BY account
)
SELECT concat('account ', coalesce(a.id, s.account)),
    CASE WHEN a.id IS NULL THEN 'entries name an account that does not exist' ELSE
    format('stored debits %s+%s pending, credits %s+%s pending; its entries give %s+%s and %s+%s',
        a.debits_posted, a.debits_pending, a.credits_posted, a.credits_pending,
        coalesce(s.debits_posted, 0), coalesce(s.debits_pending, 0),
        coalesce(s.credits_posted, 0), coalesce(s.credits_pending, 0)) END
FROM account a FULL JOIN summed s ON s.account = a.id
WHERE a.id IS NULL OR (a.debits_posted, a.debits_pending, a.credits_posted, a.credits_pending) IS DISTINCT FROM
    (coalesce(s.debits_posted, 0), coalesce(s.debits_pending, 0), coalesce(s.credits_posted, 0),
        coalesce(s.credits_pending, 0))
ORDER BY 1
""",
)

# One line for each side of each entry: its account, the entry before it there, what it moves, the balances after.
STATED = Check(
    "I3",
    "balances_after",
    """
WITH moved AS (
    SELECT entry.*,
        CASE entry.kind WHEN 'posted' THEN entry.amount_minor WHEN 'post' THEN entry.amount_minor ELSE 0 END AS posted,
        CASE entry.kind WHEN 'pending' THEN entry.amount_minor WHEN 'posted' THEN 0
            ELSE -coalesce(held.amount_minor, 0) END AS pending
    FROM entry LEFT JOIN entry AS held ON held.id = entry.pending_id
    WHERE entry.refusal IS NULL AND entry.kind <> 'burn'
), line AS (
    SELECT id, debit AS account, debit_previous AS previous, posted AS d, 0 AS c, pending AS dp, 0 AS cp,
        debit_debits_posted AS after_d, debit_credits_posted AS after_c, debit_debits_pending AS after_dp,
        debit_credits_pending AS after_cp FROM moved
    UNION ALL
    SELECT id, credit, credit_previous, 0, posted, 0, pending, credit_debits_posted, credit_credits_posted,
        credit_debits_pending, credit_credits_pending FROM moved
)
SELECT concat('entry ', line.id), CASE
    WHEN line.previous IS NOT NULL AND before.id IS NULL
        THEN format('the entry before it on account %s, %s, is not there', line.account, line.previous)
    ELSE format('states balances %s+%s/%s+%s on account %s, recounted %s+%s/%s+%s',
        line.after_d, line.after_dp, line.after_c, line.after_cp, line.account,
        coalesce(before.after_d, 0) + line.d, coalesce(before.after_dp, 0) + line.dp,
        coalesce(before.after_c, 0) + line.c, coalesce(before.after_cp, 0) + line.cp) END
FROM line LEFT JOIN line AS before ON before.id = line.previous AND before.account = line.account
WHERE (line.previous IS NOT NULL AND before.id IS NULL)
    OR (line.after_d, line.after_dp, line.after_c, line.after_cp) IS DISTINCT FROM
        (coalesce(before.after_d, 0) + line.d, coalesce(before.after_dp, 0) + line.dp,
         coalesce(before.after_c, 0) + line.c, coalesce(before.after_cp, 0) + line.cp)
""",
)
ORDER = Check(
    "I3",
    "order_of_entries",
    """
WITH line AS (
    SELECT id, debit AS account, debit_previous AS previous FROM entry WHERE refusal IS NULL AND kind <> 'burn'
    UNION ALL SELECT id, credit, credit_previous FROM entry WHERE refusal IS NULL AND kind <> 'burn'
), followed AS (
    SELECT account, previous, count(*) AS times FROM line GROUP BY account, previous
)
SELECT concat('account ', account), CASE WHEN previous IS NULL THEN format('has %s first entries', times)
    ELSE format('%s entries follow entry %s', times, previous) END
FROM followed WHERE times > 1
UNION ALL
SELECT concat('account ', a.id), CASE
    WHEN a.last_entry IS NULL THEN 'has entries and names none as its last'
    WHEN line.id IS NULL THEN format('names %s as its last entry, which is not there', a.last_entry)
    ELSE format('names %s as its last entry, but another follows it', a.last_entry) END
FROM account a
LEFT JOIN line ON line.id = a.last_entry AND line.account = a.id
LEFT JOIN followed ON followed.account = a.id AND followed.previous = a.last_entry
LEFT JOIN followed AS first ON first.account = a.id AND first.previous IS NULL
WHERE (a.last_entry IS NULL AND first.account IS NOT NULL) OR (a.last_entry IS NOT NULL AND line.id IS NULL)
    OR followed.account IS NOT NULL
""",
)
SHAPES = Check(
    "I4",
    "shapes",
    """
SELECT concat('entry ', e.id), CASE
    WHEN e.debit = e.credit THEN 'debits and credits the same account'
    WHEN e.amount_minor IS NULL OR e.amount_minor <= 0 THEN format('moves %s', e.amount_minor)
    WHEN d.id IS NULL OR c.id IS NULL THEN 'names an account that does not exist'
    WHEN e.kind NOT IN ('posted', 'pending', 'post', 'void') THEN format('is of unknown kind %s', e.kind)
    WHEN e.kind IN ('post', 'void') AND held.id IS NULL THEN 'resolves a reservation that does not exist'
    WHEN e.kind IN ('post', 'void') AND (held.kind <> 'pending' OR held.refusal IS NOT NULL)
        THEN 'resolves what was never reserved'
    WHEN e.kind IN ('post', 'void')
        AND (held.debit, held.credit, held.currency) IS DISTINCT FROM (e.debit, e.credit, e.currency)
        THEN 'resolves a reservation of other accounts'
    WHEN e.kind IN ('post', 'void') AND e.amount_minor > held.amount_minor THEN 'resolves more than was reserved'
    WHEN e.kind = 'void' AND e.amount_minor <> held.amount_minor THEN 'releases less than was reserved'
    WHEN e.kind NOT IN ('post', 'void') AND e.pending_id IS NOT NULL THEN 'names a reservation but resolves none'
    ELSE format('is in %s, its accounts in %s and %s', e.currency, d.currency, c.currency) END
FROM entry e
LEFT JOIN account d ON d.id = e.debit LEFT JOIN account c ON c.id = e.credit
LEFT JOIN entry held ON held.id = e.pending_id
WHERE e.refusal IS NULL AND e.kind <> 'burn' AND (
    d.id IS NULL OR c.id IS NULL OR e.debit = e.credit OR e.amount_minor IS NULL OR e.amount_minor <= 0
    OR (e.currency, e.currency) IS DISTINCT FROM (d.currency, c.currency)
    OR e.kind NOT IN ('posted', 'pending', 'post', 'void')
    OR (e.kind IN ('post', 'void') AND (held.id IS NULL OR held.kind <> 'pending' OR held.refusal IS NOT NULL
        OR (held.debit, held.credit, held.currency) IS DISTINCT FROM (e.debit, e.credit, e.currency)
        OR e.amount_minor > held.amount_minor OR (e.kind = 'void' AND e.amount_minor <> held.amount_minor)))
    OR (e.kind NOT IN ('post', 'void') AND e.pending_id IS NOT NULL))
""",
)
RESOLVED = Check(
    "I4",
    "resolved_once",
    """
SELECT concat('entry ', pending_id), format('is resolved %s times', count(*))
FROM entry WHERE pending_id IS NOT NULL AND refusal IS NULL GROUP BY pending_id HAVING count(*) > 1
""",
)
SETS = Check(
    "I5",
    "sets",
    """
SELECT concat('set ', head), CASE
    WHEN min(members) <> max(members) THEN 'its members disagree on their number'
    WHEN bool_or(refusal IS NULL) AND bool_or(refusal IS NOT NULL) THEN 'posted in part, refused in part'
    WHEN count(DISTINCT member) <> count(*) THEN 'two members have one number'
    WHEN (min(slot), min(seq)) <> (max(slot), max(seq)) THEN 'its members were committed apart'
    WHEN bool_and(id <> head) THEN 'its head is not there'
    WHEN bool_or((member = 0) <> (id = head)) THEN 'its head is not its first member'
    ELSE format('%s of %s members are there', count(*), max(members)) END
FROM entry WHERE kind <> 'burn' GROUP BY head
HAVING min(members) <> max(members) OR (bool_or(refusal IS NULL) AND bool_or(refusal IS NOT NULL))
    OR count(DISTINCT member) <> count(*) OR (min(slot), min(seq)) <> (max(slot), max(seq)) OR bool_and(id <> head)
    OR bool_or((member = 0) <> (id = head)) OR (bool_and(refusal IS NULL) AND count(*) <> max(members))
""",
)
# The set of a bank's transfer: position pays wallet, position pays fee; the fee's id follows from the head's.
CREDITS = Check(
    "I5",
    "credits",
    """
WITH named AS (
    SELECT head.*, fee.id AS fee_id, fee.debit AS fee_debit, fee.credit AS fee_credit, fee.amount_minor AS fee_amount,
        sha256(int4send(6) || 'member'::bytea || int4send(16) || uuid_send(head.id) || int4send(4) || int4send(1))
            AS digest
    FROM entry head LEFT JOIN entry fee ON fee.head = head.id AND fee.member = 1
    WHERE head.member = 0 AND head.content IS NOT NULL AND head.refusal IS NULL
)
SELECT concat('set ', n.id), CASE
    WHEN n.kind <> 'posted' THEN format('a credit of kind %s', n.kind)
    WHEN p.account IS NULL THEN 'a credit that no position pays'
    WHEN w.account IS NULL THEN 'a credit that reaches no wallet'
    WHEN n.members > 2 THEN 'a credit with more than a fee beside it'
    WHEN n.fee_minor <> coalesce(n.fee_amount, 0)
        THEN format('its head states a fee of %s, %s was posted', n.fee_minor, coalesce(n.fee_amount, 0))
    WHEN n.fee_debit <> n.debit THEN 'another account than the position pays the fee'
    WHEN f.role IS DISTINCT FROM 'fee' THEN 'the fee reaches another account than the operator''s'
    ELSE 'the id of its fee does not follow from its head' END
FROM named n LEFT JOIN bank_position p ON p.account = n.debit LEFT JOIN wallet_account w ON w.account = n.credit
LEFT JOIN account f ON f.id = n.fee_credit
WHERE n.kind <> 'posted' OR p.account IS NULL OR w.account IS NULL OR n.members > 2
    OR n.fee_minor <> coalesce(n.fee_amount, 0)
    OR (n.fee_id IS NOT NULL AND (n.fee_debit <> n.debit OR f.role IS DISTINCT FROM 'fee' OR uuid_send(n.fee_id) <>
        set_byte(set_byte(substr(n.digest, 1, 16), 6, get_byte(n.digest, 6) & 15 | 128), 8,
            get_byte(n.digest, 8) & 63 | 128)))
""",
)
IDS = Check(
    "I6",
    "ids",
    "SELECT concat('entry ', id), format('is stored %s times', count(*)) FROM entry GROUP BY id HAVING count(*) > 1",
)
STILL = Check(
    "I6",
    "refusals_and_burns_move_nothing",
    """
SELECT concat('entry ', id), CASE WHEN kind = 'burn' THEN 'a burn that names accounts or money'
    ELSE 'a refusal that states balances' END
FROM entry
WHERE (kind = 'burn' AND num_nonnulls(debit, credit, amount_minor, refusal, content) > 0)
    OR ((kind = 'burn' OR refusal IS NOT NULL) AND num_nonnulls(debit_previous, credit_previous, debit_debits_pending,
        debit_credits_pending, debit_debits_posted, debit_credits_posted, credit_debits_pending,
        credit_credits_pending, credit_debits_posted, credit_credits_posted) > 0)
""",
)
LIMITS = Check(
    "I7",
    "limits",
    """
SELECT concat('account ', id), CASE
    WHEN least(debits_pending, credits_pending, debits_posted, credits_posted) < 0 THEN 'has a negative balance'
    WHEN debits_must_not_exceed_credits AND debits_pending + debits_posted > credits_posted
        THEN format('a %s overdrawn by %s', role, debits_pending + debits_posted - credits_posted)
    WHEN credits_must_not_exceed_debits AND credits_pending + credits_posted > debits_posted
        THEN format('a %s with %s more credits than debits', role, credits_pending + credits_posted - debits_posted)
    WHEN ceiling_minor IS NOT NULL AND credits_pending + credits_posted - debits_posted > ceiling_minor
        THEN format('holds %s, its ceiling is %s', credits_pending + credits_posted - debits_posted, ceiling_minor)
    ELSE format('a %s without the limit of its kind', role) END
FROM account
WHERE least(debits_pending, credits_pending, debits_posted, credits_posted) < 0
    OR (debits_must_not_exceed_credits AND debits_pending + debits_posted > credits_posted)
    OR (credits_must_not_exceed_debits AND credits_pending + credits_posted > debits_posted)
    OR (ceiling_minor IS NOT NULL AND credits_pending + credits_posted - debits_posted > ceiling_minor)
    OR (role IN ('wallet', 'position', 'fee') AND NOT debits_must_not_exceed_credits)
    OR (role = 'settlement' AND NOT credits_must_not_exceed_debits)
""",
)
OVERDRAWN = Check(
    "I7",
    "never_overdrawn",
    """
SELECT concat('entry ', e.id), format('leaves account %s overdrawn by %s', a.id,
    e.debit_debits_pending + e.debit_debits_posted - e.debit_credits_posted)
FROM entry e JOIN account a ON a.id = e.debit
WHERE e.refusal IS NULL AND a.role IN ('wallet', 'position', 'fee')
    AND e.debit_debits_pending + e.debit_debits_posted > e.debit_credits_posted
""",
)
OWNERS = Check(
    "I7",
    "owners",
    """
SELECT concat('account ', a.id), format('is a %s in %s, owned as %s in %s', a.role, a.currency, o.role, o.currency)
FROM (SELECT account, 'wallet' AS role, currency FROM wallet_account
    UNION ALL SELECT account, 'position', currency FROM bank_position) AS o
JOIN account a ON a.id = o.account
WHERE (a.role, a.currency) IS DISTINCT FROM (o.role, o.currency)
UNION ALL
SELECT concat('account ', account), format('has %s owners', count(*))
FROM (SELECT account FROM wallet_account UNION ALL SELECT account FROM bank_position) AS o
GROUP BY account HAVING count(*) > 1
""",
)
CHECKS = (
    BALANCES, STATED, ORDER, SHAPES, RESOLVED, SETS, CREDITS, IDS, STILL, LIMITS, OVERDRAWN, OWNERS,
)  # fmt: skip


def recount_core(core: DatabaseSnapshot, tally: Tally) -> int:
    """Recount the ledger (I1 to I7); returns what is left when all money is summed, 0 where the books balance."""
    left = _sum_of_all_money(core, tally)
    recount(core, CHECKS, tally)
    for name, value in _magnitudes(core).items():
        tally.counts[name] = value
    return left


def _sum_of_all_money(core: DatabaseSnapshot, tally: Tally) -> int:
    """I1: debits and credits of all accounts are equal, in each currency, posted and pending apart."""
    left = 0
    for currency, posted, pending in core.rows(SUMS):
        left += abs(posted) + abs(pending)
        if posted or pending:
            tally.find("I1", currency, f"debits less credits of all accounts: {posted} posted, {pending} pending")
    return left


def _magnitudes(core: DatabaseSnapshot) -> Mapping[str, int]:
    names = ("entries", "refusals", "burns", "batches", "anchors", "core_incarnation")
    return MappingProxyType(dict(zip(names, (value or 0 for value in core.one(MAGNITUDES)), strict=True)))
