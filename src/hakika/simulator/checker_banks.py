"""A bank's own books recounted: accounts from the journal, transfers from what was booked for them.

A debit leaves the customer once and leaves transit at most once, to where the transfer's state says. What the
bank and the gateway say of each other's transfers is compared in checker_custody.
"""

from hakika.simulator.checker_findings import Check, Tally
from hakika.simulator.checker_snapshots import BooksSnapshot, recount

SUM = "SELECT coalesce(sum(balance_minor), 0) FROM account"
ACCOUNTS = Check(
    "I23",
    "accounts",
    """
WITH moved AS (
    SELECT name, sum(amount) AS amount FROM (
        SELECT credit AS name, amount_minor AS amount FROM journal UNION ALL SELECT debit, -amount_minor FROM journal
    ) GROUP BY name
)
SELECT 'account ' || n.name, CASE WHEN a.name IS NULL THEN 'the journal names it, and it does not exist'
    ELSE 'holds ' || a.balance_minor || ', its journal gives ' || coalesce(m.amount, 0) END
FROM (SELECT name FROM account UNION SELECT name FROM moved) n
LEFT JOIN account a ON a.name = n.name LEFT JOIN moved m ON m.name = n.name
WHERE a.name IS NULL OR a.balance_minor <> coalesce(m.amount, 0)
UNION ALL
SELECT 'account ' || name, 'is overdrawn by ' || -balance_minor FROM account
WHERE name <> 'own_funds' AND balance_minor < 0
UNION ALL
SELECT 'account in_transit', 'holds ' || a.balance_minor || ', the transfers still open make ' || t.amount
FROM account a, (SELECT coalesce(sum(amount_minor), 0) AS amount FROM transfer WHERE state IN ('debited', 'accepted')) t
WHERE a.name = 'in_transit' AND a.balance_minor <> t.amount
""",
)
TRANSFERS = Check(
    "I23",
    "transfers",
    """
SELECT uetr, 'is ' || state || '; its journal has ' || debits || ' debits (' || right_debits || ' right) and ' || ends
    || ' ends (' || right_ends || ' right)'
FROM (
    SELECT t.uetr, t.state,
        coalesce(sum(j.event = 'debited'), 0) AS debits,
        coalesce(sum(j.event = 'debited' AND j.debit = 'customer:' || t.customer AND j.credit = 'in_transit'
            AND j.amount_minor = t.amount_minor), 0) AS right_debits,
        coalesce(sum(j.event <> 'debited'), 0) AS ends,
        coalesce(sum(j.event = t.state AND j.event <> 'debited' AND j.debit = 'in_transit'
            AND j.amount_minor = t.amount_minor AND j.credit = CASE t.state WHEN 'completed' THEN 'position_mirror'
                ELSE 'customer:' || t.customer END), 0) AS right_ends
    FROM transfer t LEFT JOIN journal j ON j.uetr = t.uetr GROUP BY t.uetr
)
WHERE debits <> 1 OR right_debits <> 1 OR ends <> right_ends
    OR right_ends <> (state IN ('completed', 'returned', 'rejected'))
UNION ALL
SELECT 'journal entry ' || j.id, 'a ' || j.event || ' from ' || j.debit || ' to ' || j.credit || ' of no transfer'
FROM journal j LEFT JOIN transfer t ON t.uetr = j.uetr
WHERE (j.event <> 'opening' AND t.uetr IS NULL) OR (j.event = 'opening' AND j.debit <> 'own_funds')
    OR j.amount_minor <= 0
""",
)
CONTRADICTIONS = Check(
    "I17",
    "contradictions",
    "SELECT uetr, 'its bank noted a contradiction: ' || word || ': ' || rule FROM contradiction ORDER BY id",
)
STATES = "SELECT state, count(*) FROM transfer GROUP BY state"
COUNTED = {"completed": "bank_completed", "returned": "bank_returned", "rejected": "rejected"}


def recount_books(books: BooksSnapshot, tally: Tally) -> None:
    """I23, and contradictions that the bank has noted (I17); counts what the bank has debited and ended."""
    left: int = books.one(SUM)[0]
    if left:
        tally.find("I23", books.bank, f"all accounts together hold {left}, not 0")
    mine = Tally()
    recount(books, (ACCOUNTS, TRANSFERS, CONTRADICTIONS), mine)
    for finding in mine.findings():
        tally.find(finding.code, f"{books.bank} {finding.subject}", finding.text)
    for name in ("debited", *COUNTED.values()):
        tally.counts[name] += 0
    for state, count in books.rows(STATES):
        tally.counts["debited"] += count
        if state in COUNTED:
            tally.counts[COUNTED[state]] += count
