-- The core's database: accounts, who owns them, and one append-only table of everything that ever happened to
-- an id. What must be true whoever writes is held here; which entry is right is decided in domain/ledger.py.
-- Runs as hakika_core_owner; the roles hakika_core_app and hakika_core_reader exist already.

CREATE TABLE incarnation (
    number      integer PRIMARY KEY CHECK (number > 0),
    raised_ms   bigint NOT NULL,
    reason      text NOT NULL CHECK (reason <> ''),
    redriven_ms bigint
);
COMMENT ON TABLE incarnation IS 'Lives of this database. A restore or lossy failover raises the number; until the gateway has re-driven what it knows, nothing new is posted.';
COMMENT ON COLUMN incarnation.raised_ms IS 'Wall clock, milliseconds since 1970 UTC, like every column that ends in _ms.';
COMMENT ON COLUMN incarnation.redriven_ms IS 'When the gateway said that it had re-posted every completed transfer it knows; NULL while that is awaited.';

INSERT INTO incarnation (number, raised_ms, reason, redriven_ms)
SELECT 1, now_ms, 'created', now_ms
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms) AS clock;

CREATE TABLE account (
    id                             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    debits_pending                 bigint NOT NULL DEFAULT 0 CHECK (debits_pending >= 0),
    credits_pending                bigint NOT NULL DEFAULT 0 CHECK (credits_pending >= 0),
    debits_posted                  bigint NOT NULL DEFAULT 0 CHECK (debits_posted >= 0),
    credits_posted                 bigint NOT NULL DEFAULT 0 CHECK (credits_posted >= 0),
    last_entry                     uuid,
    ceiling_minor                  bigint CHECK (ceiling_minor > 0),
    opened_ms                      bigint NOT NULL,
    debits_must_not_exceed_credits boolean NOT NULL,
    credits_must_not_exceed_debits boolean NOT NULL,
    currency                       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    role                           text NOT NULL CHECK (role IN ('wallet', 'position', 'fee', 'loss', 'settlement')),
    CONSTRAINT account_debits_within_credits
        CHECK (NOT debits_must_not_exceed_credits OR debits_pending + debits_posted <= credits_posted),
    CONSTRAINT account_credits_within_debits
        CHECK (NOT credits_must_not_exceed_debits OR credits_pending + credits_posted <= debits_posted),
    CONSTRAINT account_within_ceiling
        CHECK (ceiling_minor IS NULL OR credits_pending + credits_posted - debits_posted <= ceiling_minor)
) WITH (fillfactor = 40);
COMMENT ON TABLE account IS 'Accounts of the ledger with their present balances in minor units. Room is left on each page, so that updates touch no index.';
COMMENT ON COLUMN account.last_entry IS 'The posted entry that touched the account last; each entry points to the one before it, and so a statement is read by walking back.';
COMMENT ON COLUMN account.ceiling_minor IS 'Most that a wallet may hold: credits, pending ones too, less posted debits.';
COMMENT ON COLUMN account.debits_must_not_exceed_credits IS 'Set for accounts whose owner may not overdraw: wallets, positions, fee.';
COMMENT ON COLUMN account.credits_must_not_exceed_debits IS 'Set for settlement: money enters the books by its debit.';
COMMENT ON COLUMN account.role IS 'wallet: a customer''s. position: what a bank has prefunded. fee, loss: the operator''s. settlement: the far side of every funding.';
CREATE UNIQUE INDEX account_house ON account (role, currency) WHERE role IN ('fee', 'loss', 'settlement');
COMMENT ON INDEX account_house IS 'The operator has one account of each kind in a currency.';

CREATE TABLE wallet (
    msisdn    text PRIMARY KEY CHECK (msisdn ~ '^[1-9][0-9]{6,14}$'),
    name      text NOT NULL CHECK (name <> ''),
    status    text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'blocked', 'closed')),
    opened_ms bigint NOT NULL
);
COMMENT ON TABLE wallet IS 'Customers'' wallets by telephone number.';
COMMENT ON COLUMN wallet.msisdn IS 'E.164 digits without +.';
COMMENT ON COLUMN wallet.status IS 'Changed only while the wallet''s accounts are locked, so that a batch sees one status from beginning to end.';

CREATE TABLE wallet_account (
    msisdn   text NOT NULL REFERENCES wallet,
    currency text NOT NULL,
    account  bigint NOT NULL UNIQUE REFERENCES account,
    PRIMARY KEY (msisdn, currency)
);
COMMENT ON TABLE wallet_account IS 'One account for each currency of a wallet.';

CREATE TABLE bank_position (
    bank     text NOT NULL CHECK (bank ~ '^[a-z0-9][a-z0-9-]{0,34}$'),
    currency text NOT NULL,
    account  bigint NOT NULL UNIQUE REFERENCES account,
    PRIMARY KEY (bank, currency)
);
COMMENT ON TABLE bank_position IS 'The account of what a bank has prefunded, one for each currency.';

CREATE TABLE writer_slot (
    slot smallint PRIMARY KEY CHECK (slot BETWEEN 0 AND 63)
);
COMMENT ON TABLE writer_slot IS 'Hash chains. A writer claims one by an advisory lock on its number for as long as its connection lives; the primary key of batch is the fence.';
INSERT INTO writer_slot (slot) SELECT generate_series(0, 15);

CREATE TABLE batch (
    slot          smallint NOT NULL REFERENCES writer_slot,
    seq           bigint NOT NULL CHECK (seq > 0),
    previous_seq  bigint GENERATED ALWAYS AS (NULLIF(seq - 1, 0)) STORED,
    at_ms         bigint NOT NULL,
    incarnation   integer NOT NULL REFERENCES incarnation,
    entries       integer NOT NULL CHECK (entries > 0),
    previous_hash bytea NOT NULL,
    hash          bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (slot, seq),
    CONSTRAINT batch_head UNIQUE (slot, seq, hash),
    CONSTRAINT batch_first CHECK (seq > 1 OR previous_hash = decode(repeat('00', 32), 'hex')),
    CONSTRAINT batch_follows FOREIGN KEY (slot, previous_seq, previous_hash) REFERENCES batch (slot, seq, hash)
);
COMMENT ON TABLE batch IS 'What was committed together, a link of its slot''s hash chain. The foreign key to the batch before refuses gaps and forks; docs/reference/hash-chain.md has the serialisation.';
COMMENT ON COLUMN batch.at_ms IS 'The instant by which the batch was decided.';
COMMENT ON COLUMN batch.entries IS 'Rows of entry in this batch: posted, refused and burnt.';
COMMENT ON COLUMN batch.previous_hash IS 'Hash of the batch before in the same slot; 32 zero bytes in the first.';

CREATE TABLE entry (
    id                     uuid PRIMARY KEY,
    head                   uuid NOT NULL,
    seq                    bigint NOT NULL,
    debit                  bigint,
    credit                 bigint,
    amount_minor           bigint CHECK (amount_minor > 0),
    debit_debits_pending   bigint,
    debit_credits_pending  bigint,
    debit_debits_posted    bigint,
    debit_credits_posted   bigint,
    credit_debits_pending  bigint,
    credit_credits_pending bigint,
    credit_debits_posted   bigint,
    credit_credits_posted  bigint,
    fee_minor              bigint NOT NULL CHECK (fee_minor >= 0),
    expires_ms             bigint,
    debit_previous         uuid,
    credit_previous        uuid,
    pending_id             uuid,
    position               integer NOT NULL CHECK (position >= 0),
    slot                   smallint NOT NULL,
    member                 smallint NOT NULL,
    members                smallint NOT NULL,
    currency               text,
    kind                   text NOT NULL CHECK (kind IN ('posted', 'pending', 'post', 'void', 'burn')),
    refusal                text CHECK (refusal <> ''),
    content                bytea CHECK (octet_length(content) = 32),
    CONSTRAINT entry_place CHECK (member >= 0 AND member < members AND (member = 0) = (id = head)),
    CONSTRAINT entry_shape CHECK (
        CASE
            WHEN kind = 'burn' THEN
                num_nonnulls(debit, credit, amount_minor, currency, refusal, pending_id, expires_ms, content,
                    debit_previous, credit_previous, debit_debits_pending, credit_debits_pending) = 0
                AND members = 1 AND fee_minor = 0
            WHEN refusal IS NOT NULL THEN
                num_nonnulls(amount_minor, currency) = 2 AND fee_minor = 0
                AND num_nonnulls(debit_previous, credit_previous, debit_debits_pending, debit_credits_pending,
                    debit_debits_posted, debit_credits_posted, credit_debits_pending, credit_credits_pending,
                    credit_debits_posted, credit_credits_posted) = 0
            ELSE
                num_nonnulls(debit, credit, amount_minor, currency, debit_debits_pending, debit_credits_pending,
                    debit_debits_posted, debit_credits_posted, credit_debits_pending, credit_credits_pending,
                    credit_debits_posted, credit_credits_posted) = 12
                AND debit <> credit
                AND (kind IN ('post', 'void')) = (pending_id IS NOT NULL)
                AND (kind = 'pending' OR expires_ms IS NULL)
        END
    ),
    CONSTRAINT entry_balances_not_negative CHECK (
        LEAST(debit_debits_pending, debit_credits_pending, debit_debits_posted, debit_credits_posted,
            credit_debits_pending, credit_credits_pending, credit_debits_posted, credit_credits_posted) >= 0
    )
);
COMMENT ON TABLE entry IS 'Everything that was ever stored under an id: posted entries, refusals and burns share one unique id, so that a burn is an insert and a dead id stays dead. Never changed, never deleted. No index by account: a statement walks back from account.last_entry along debit_previous and credit_previous, at the price of one look-up by id for each line, and inserts stay cheap.';
COMMENT ON COLUMN entry.head IS 'Id of the linked set: that of its first member. For a bank''s transfer this is the attempt''s id.';
COMMENT ON COLUMN entry.seq IS 'With slot: the batch that committed the row; position is its place in it, from 0.';
COMMENT ON COLUMN entry.debit IS 'Account debited; NULL for a burn, and in a refusal where there is no such account.';
COMMENT ON COLUMN entry.debit_debits_pending IS 'With the seven columns that follow: all four balances after this entry, of the debited, then of the credited account.';
COMMENT ON COLUMN entry.fee_minor IS 'On the head of a bank''s transfer: the fee that its creditor bore; told again with every answer.';
COMMENT ON COLUMN entry.expires_ms IS 'Of a pending entry: from then on it can be voided only.';
COMMENT ON COLUMN entry.debit_previous IS 'The entry before this one on the debited account; NULL for its first. credit_previous likewise.';
COMMENT ON COLUMN entry.pending_id IS 'Of a post or void: the pending entry that it resolves.';
COMMENT ON COLUMN entry.members IS 'Size of the linked set; member counts from 0.';
COMMENT ON COLUMN entry.kind IS 'What was asked for, refused or not.';
COMMENT ON COLUMN entry.refusal IS 'Why it was refused by state; NULL: posted (or burnt). A stored refusal is final for its id.';
COMMENT ON COLUMN entry.content IS 'SHA-256 of the instruction''s own content on a head that came from one: a resend is compared with it, since tariff and accounts may have changed meanwhile.';
CREATE UNIQUE INDEX entry_resolved_once ON entry (pending_id) WHERE pending_id IS NOT NULL AND refusal IS NULL;
COMMENT ON INDEX entry_resolved_once IS 'A pending entry is posted or voided once.';

CREATE TABLE anchor (
    number          bigint PRIMARY KEY CHECK (number > 0),
    previous_number bigint GENERATED ALWAYS AS (NULLIF(number - 1, 0)) STORED,
    at_ms           bigint NOT NULL,
    incarnation     integer NOT NULL REFERENCES incarnation,
    slots           smallint[] NOT NULL,
    seqs            bigint[] NOT NULL,
    hashes          bytea[] NOT NULL,
    previous_hash   bytea NOT NULL,
    hash            bytea NOT NULL CHECK (octet_length(hash) = 32),
    CONSTRAINT anchor_head UNIQUE (number, hash),
    CONSTRAINT anchor_first CHECK (number > 1 OR previous_hash = decode(repeat('00', 32), 'hex')),
    CONSTRAINT anchor_follows FOREIGN KEY (previous_number, previous_hash) REFERENCES anchor (number, hash),
    CONSTRAINT anchor_heads CHECK (cardinality(slots) = cardinality(seqs) AND cardinality(slots) = cardinality(hashes))
);
COMMENT ON TABLE anchor IS 'From time to time, the heads of all chains in one hash, themselves a chain: ties the slots together and dates them.';
COMMENT ON COLUMN anchor.slots IS 'Slots that have a batch, ascending; seqs and hashes are their heads in the same order.';

-- Append-only for everybody, the owner included. Triggers fire in every session_replication_role.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what is written stays, a mistake is corrected by another entry', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_TABLE_NAME || '_append_only';
END
$$;
COMMENT ON FUNCTION refuse_change() IS 'Refuses whatever it is bound to.';

CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry EXECUTE FUNCTION refuse_change();
CREATE TRIGGER batch_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON batch EXECUTE FUNCTION refuse_change();
CREATE TRIGGER anchor_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON anchor EXECUTE FUNCTION refuse_change();
CREATE TRIGGER incarnation_stays BEFORE DELETE OR TRUNCATE ON incarnation EXECUTE FUNCTION refuse_change();
CREATE TRIGGER account_stays BEFORE DELETE OR TRUNCATE ON account EXECUTE FUNCTION refuse_change();
CREATE TRIGGER wallet_stays BEFORE DELETE OR TRUNCATE ON wallet EXECUTE FUNCTION refuse_change();
CREATE TRIGGER wallet_account_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON wallet_account EXECUTE FUNCTION refuse_change();
CREATE TRIGGER bank_position_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON bank_position EXECUTE FUNCTION refuse_change();

CREATE FUNCTION incarnation_is_redriven_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.redriven_ms IS NOT NULL
        OR (NEW.number, NEW.raised_ms, NEW.reason) IS DISTINCT FROM (OLD.number, OLD.raised_ms, OLD.reason)
    THEN
        RAISE EXCEPTION 'incarnation % is not edited', OLD.number
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'incarnation_append_only';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION incarnation_is_redriven_once() IS 'The one change of an incarnation is from not re-driven to re-driven.';
CREATE TRIGGER incarnation_append_only BEFORE UPDATE ON incarnation
    FOR EACH ROW EXECUTE FUNCTION incarnation_is_redriven_once();

-- Set-based: one check a statement, not one a row. Whatever is looked up outside the statement's own rows is a subquery
-- that cannot become a join (scalar, or LATERAL with a LIMIT): it is planned as one search by primary key for each row
-- and as nothing else, however small the tables were when the plan was made.

CREATE FUNCTION entries_fit() RETURNS trigger LANGUAGE plpgsql AS $$
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
COMMENT ON FUNCTION entries_fit() IS 'What ties new entries to their batch, accounts and pending entries; in place of foreign keys checked row by row.';
CREATE TRIGGER entry_fits AFTER INSERT ON entry REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION entries_fit();

CREATE FUNCTION accounts_follow_entries() RETURNS trigger LANGUAGE plpgsql AS $$
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
COMMENT ON FUNCTION accounts_follow_entries() IS 'No balance moves without an entry, and no money appears or vanishes.';
CREATE TRIGGER account_follows AFTER UPDATE ON account REFERENCING OLD TABLE AS former NEW TABLE AS updated
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_follow_entries();

CREATE FUNCTION account_opens_empty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an account opens with zero balances'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'account_opens_empty';
END
$$;
COMMENT ON FUNCTION account_opens_empty() IS 'Refuses an account that is born with money.';
CREATE TRIGGER account_opens_empty BEFORE INSERT ON account FOR EACH ROW
    WHEN (NEW.debits_pending + NEW.credits_pending + NEW.debits_posted + NEW.credits_posted > 0 OR NEW.last_entry IS NOT NULL)
    EXECUTE FUNCTION account_opens_empty();

ALTER TABLE entry ENABLE ALWAYS TRIGGER entry_append_only;
ALTER TABLE entry ENABLE ALWAYS TRIGGER entry_fits;
ALTER TABLE batch ENABLE ALWAYS TRIGGER batch_append_only;
ALTER TABLE anchor ENABLE ALWAYS TRIGGER anchor_append_only;
ALTER TABLE incarnation ENABLE ALWAYS TRIGGER incarnation_stays;
ALTER TABLE incarnation ENABLE ALWAYS TRIGGER incarnation_append_only;
ALTER TABLE account ENABLE ALWAYS TRIGGER account_stays;
ALTER TABLE account ENABLE ALWAYS TRIGGER account_follows;
ALTER TABLE account ENABLE ALWAYS TRIGGER account_opens_empty;
ALTER TABLE wallet ENABLE ALWAYS TRIGGER wallet_stays;
ALTER TABLE wallet_account ENABLE ALWAYS TRIGGER wallet_account_stays;
ALTER TABLE bank_position ENABLE ALWAYS TRIGGER bank_position_stays;

-- Least privilege: the application adds rows, and changes balances, a wallet's status and one date.

GRANT SELECT ON incarnation, account, wallet, wallet_account, bank_position, writer_slot, batch, entry, anchor
    TO hakika_core_app, hakika_core_reader;
GRANT INSERT ON account, wallet, wallet_account, bank_position, batch, entry, anchor TO hakika_core_app;
GRANT UPDATE (debits_pending, credits_pending, debits_posted, credits_posted, last_entry) ON account TO hakika_core_app;
GRANT UPDATE (status) ON wallet TO hakika_core_app;
GRANT UPDATE (redriven_ms) ON incarnation TO hakika_core_app;
