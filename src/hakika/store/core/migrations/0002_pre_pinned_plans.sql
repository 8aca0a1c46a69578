-- The rules are the same; how they are looked up is pinned. A plan made while the tables were small walked over the whole
-- index of entry for every batch: five times as long at 100,000 entries, and longer with every entry more.

CREATE OR REPLACE FUNCTION entries_fit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (
            SELECT slot, seq, count(*) AS entries, min(position) AS first, max(position) AS last
            FROM added GROUP BY slot, seq
        ) AS part
        LEFT JOIN LATERAL (
            SELECT batch.entries, batch.xmin AS written FROM batch
            WHERE batch.slot = part.slot AND batch.seq = part.seq LIMIT 1
        ) AS link ON true
        WHERE link.entries IS DISTINCT FROM part.entries OR part.first <> 0
            OR part.last <> part.entries - 1 OR link.written <> pg_current_xact_id()::xid
    ) THEN
        RAISE EXCEPTION 'entries come whole with the batch of their own transaction'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entry_in_its_batch';
    END IF;
    IF EXISTS (
        SELECT FROM added
        WHERE refusal IS NULL AND kind <> 'burn'
            AND ((SELECT account.currency FROM account WHERE account.id = added.debit) IS DISTINCT FROM added.currency
                OR (SELECT account.currency FROM account WHERE account.id = added.credit)
                    IS DISTINCT FROM added.currency)
    ) THEN
        RAISE EXCEPTION 'a posted entry names two accounts of its currency'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entry_accounts';
    END IF;
    IF EXISTS (
        SELECT FROM added
        LEFT JOIN LATERAL (
            SELECT entry.kind, entry.refusal, entry.debit, entry.credit, entry.amount_minor FROM entry
            WHERE entry.id = added.pending_id LIMIT 1
        ) AS pending ON true
        WHERE added.refusal IS NULL AND added.pending_id IS NOT NULL
            AND (pending.kind IS DISTINCT FROM 'pending' OR pending.refusal IS NOT NULL
                OR pending.debit <> added.debit OR pending.credit <> added.credit
                OR added.amount_minor > pending.amount_minor)
    ) THEN
        RAISE EXCEPTION 'a post or void resolves a pending entry of the same accounts, at most its amount'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entry_resolves_pending';
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION accounts_follow_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (
            SELECT currency,
                sum(debits_pending) - sum(credits_pending) AS pending,
                sum(debits_posted) - sum(credits_posted) AS posted
            FROM updated GROUP BY currency
        ) AS after
        FULL JOIN (
            SELECT currency,
                sum(debits_pending) - sum(credits_pending) AS pending,
                sum(debits_posted) - sum(credits_posted) AS posted
            FROM former GROUP BY currency
        ) AS before USING (currency)
        WHERE (after.pending, after.posted) IS DISTINCT FROM (before.pending, before.posted)
    ) THEN
        RAISE EXCEPTION 'balances change by equal debits and credits'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'account_balanced';
    END IF;
    IF EXISTS (
        SELECT FROM updated
        LEFT JOIN LATERAL (
            SELECT entry.xmin AS written, entry.debit, entry.credit,
                entry.debit_debits_pending, entry.debit_credits_pending, entry.debit_debits_posted,
                entry.debit_credits_posted, entry.credit_debits_pending, entry.credit_credits_pending,
                entry.credit_debits_posted, entry.credit_credits_posted
            FROM entry WHERE entry.id = updated.last_entry LIMIT 1
        ) AS last ON last.written = pg_current_xact_id()::xid
        WHERE CASE updated.id
                WHEN last.debit THEN
                    (last.debit_debits_pending, last.debit_credits_pending, last.debit_debits_posted,
                        last.debit_credits_posted)
                    IS DISTINCT FROM (updated.debits_pending, updated.credits_pending, updated.debits_posted,
                        updated.credits_posted)
                WHEN last.credit THEN
                    (last.credit_debits_pending, last.credit_credits_pending, last.credit_debits_posted,
                        last.credit_credits_posted)
                    IS DISTINCT FROM (updated.debits_pending, updated.credits_pending, updated.debits_posted,
                        updated.credits_posted)
                ELSE true
            END
    ) THEN
        RAISE EXCEPTION 'an account changes only with an entry of the same transaction that states its new balances'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'account_follows_entry';
    END IF;
    RETURN NULL;
END
$$;
