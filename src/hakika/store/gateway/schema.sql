-- The gateway's database as it is today, for reading; what machines run is in migrations/, and a test holds both equal.
-- Transfers between institutions: intake, custody, attempts, returns, what is owed to each bank.
-- Instants are bigint milliseconds since 1970 UTC; the views in schema ops show them as time.
-- What must hold whoever writes stands here as constraint or trigger; what should happen is decided in Python.

CREATE SCHEMA ops;

CREATE TABLE incarnation (
    number      integer PRIMARY KEY CHECK (number > 0),
    raised_ms   bigint NOT NULL,
    reason      text NOT NULL
);
COMMENT ON TABLE incarnation IS 'Raised by a restore or a lossy failover of this database; the highest number is in force.';
INSERT INTO incarnation VALUES (1, (extract(epoch FROM now()) * 1000)::bigint, 'created');

CREATE TABLE core_incarnation (
    number      integer PRIMARY KEY CHECK (number > 0),
    seen_ms     bigint NOT NULL,
    redriven_ms bigint
);
COMMENT ON TABLE core_incarnation IS 'Incarnations of the core that this gateway has met; a new one is re-driven before anything fresh is sent.';
COMMENT ON COLUMN core_incarnation.redriven_ms IS 'When every transfer we know had been burnt or posted again under this incarnation.';

CREATE TABLE bank (
    id           text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9][A-Za-z0-9-]{0,34}$'),
    name         text NOT NULL,
    callback_url text NOT NULL,
    rule_pack    text NOT NULL
);
COMMENT ON TABLE bank IS 'Institutions that instruct this gateway.';
COMMENT ON COLUMN bank.id IS 'ClrSysMmbId/MmbId on the wire.';
COMMENT ON COLUMN bank.rule_pack IS 'Name of the promise in domain/deadlines.py.';

CREATE TABLE bank_key (
    kid        text PRIMARY KEY,
    bank       text NOT NULL REFERENCES bank,
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    added_ms   bigint NOT NULL,
    revoked_ms bigint
);
COMMENT ON TABLE bank_key IS 'Ed25519 keys under which a bank may sign; a key is revoked, never deleted.';

CREATE TABLE message (
    bank        text NOT NULL,
    msg_id      text NOT NULL CHECK (length(msg_id) BETWEEN 1 AND 35),
    body_sha256 bytea NOT NULL CHECK (octet_length(body_sha256) = 32),
    body        bytea NOT NULL,
    signature   text NOT NULL,
    received_ms bigint NOT NULL,
    receipt_kid text NOT NULL,
    uetrs       uuid[] NOT NULL CHECK (cardinality(uetrs) BETWEEN 1 AND 1000),
    PRIMARY KEY (bank, msg_id)
);
COMMENT ON TABLE message IS 'Every pacs.008 taken, with what its custody receipt is made from; kept for ever against replay.';
COMMENT ON COLUMN message.body IS 'The signed bytes as they came, with their detached signature: the bank''s order, provable.';
COMMENT ON COLUMN message.receipt_kid IS 'The key that signs the receipt; a resend is signed with the same key and gets the same bytes.';

CREATE TABLE transfer (
    id                 uuid PRIMARY KEY,
    bank               text NOT NULL,
    uetr               uuid NOT NULL,
    tracking           bytea UNIQUE CHECK (octet_length(tracking) = 16),
    content_sha256     bytea CHECK (octet_length(content_sha256) = 32),
    msg_id             text,
    end_to_end_id      text,
    instruction_id     text,
    transaction_id     text,
    amount_minor       bigint CHECK (amount_minor > 0),
    currency           text CHECK (currency ~ '^[A-Z]{3}$'),
    debtor_name        text,
    debtor_phone       text,
    debtor_email       text,
    debtor_language    text,
    creditor_name      text,
    creditor_msisdn    text CHECK (creditor_msisdn ~ '^[0-9]{8,15}$'),
    received_ms        bigint NOT NULL,
    valid_until_ms     bigint,
    return_at_ms       bigint,
    deadline_ms        bigint,
    status             text NOT NULL CHECK (status IN ('RECEIVED', 'IN_FLIGHT', 'COMPLETED', 'RETURNED', 'REJECTED')),
    status_ms          bigint NOT NULL,
    reason             text,
    fee_minor          bigint CHECK (fee_minor >= 0),
    next_attempt_ms    bigint NOT NULL DEFAULT 0,
    recalled_reason    text,
    burn_first         boolean NOT NULL DEFAULT false,
    held               boolean NOT NULL GENERATED ALWAYS AS (status = 'RECEIVED') STORED,
    UNIQUE (bank, uetr),
    CHECK (status = 'REJECTED' OR (
        tracking IS NOT NULL AND content_sha256 IS NOT NULL AND msg_id IS NOT NULL AND end_to_end_id IS NOT NULL
        AND amount_minor IS NOT NULL AND currency IS NOT NULL AND creditor_msisdn IS NOT NULL
        AND valid_until_ms IS NOT NULL AND return_at_ms IS NOT NULL AND deadline_ms IS NOT NULL
        AND received_ms < valid_until_ms AND valid_until_ms < return_at_ms AND return_at_ms < deadline_ms)),
    CHECK (status <> 'REJECTED' OR reason IS NOT NULL)
) WITH (fillfactor = 70, autovacuum_vacuum_threshold = 100000, autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON TABLE transfer IS 'One row for every (bank, UETR) ever met: taken into custody, or refused for good (REJECTED). One unique index for both, so that a recall and its transfer cannot pass each other.';
COMMENT ON COLUMN transfer.content_sha256 IS 'Hash of the canonical fields without group header; null for a tombstone, which refuses any content.';
COMMENT ON COLUMN transfer.tracking IS '128 random bits; its base32 form is the reference under /t/.';
COMMENT ON COLUMN transfer.status IS 'Derived by domain/transfer.py status_of from attempts and return; written in the same commit as they are; recounted by the checker.';
COMMENT ON COLUMN transfer.valid_until_ms IS 'The core refuses the instruction after this instant, by its own clock. Never evidence for a return.';
COMMENT ON COLUMN transfer.return_at_ms IS 'From here on a transfer that no attempt has ever carried is returned, asking nobody.';
COMMENT ON COLUMN transfer.burn_first IS 'Older than a restore of this database: its attempts, and even its end, may be missing here. The burn of every id that it can have decides. Set when it is taken into custody, or by the owner while it has no end; never unset.';
COMMENT ON COLUMN transfer.next_attempt_ms IS 'Not attempted before this instant: the bank''s position was short.';
COMMENT ON COLUMN transfer.held IS 'In custody with no attempt open. What is asked for by the instant of its return stands in indexes on this column: a change of status touches no index but when it begins or ends being held.';
CREATE INDEX transfer_waiting ON transfer (bank, return_at_ms) WHERE held;
CREATE INDEX transfer_to_burn ON transfer (id) WHERE burn_first AND held;

CREATE TABLE attempt (
    id              uuid PRIMARY KEY,
    transfer        uuid NOT NULL,
    number          integer NOT NULL CHECK (number > 0),
    recorded_ms     bigint NOT NULL,
    lease_holder    uuid NOT NULL,
    lease_token     integer NOT NULL DEFAULT 1 CHECK (lease_token > 0),
    lease_until_ms  bigint NOT NULL,
    outcome         text CHECK (outcome IN ('posted', 'refused', 'burnt', 'not_sent')),
    reason          text,
    closed_ms       bigint,
    closed_by       uuid,
    closed_token    integer,
    core_incarnation integer,
    chain_slot      integer,
    chain_seq       bigint,
    chain_head      bytea,
    UNIQUE (transfer, number),
    CONSTRAINT attempt_number_max CHECK (number <= 64),
    CHECK ((outcome IS NULL) = (closed_ms IS NULL)),
    CHECK (outcome IS NULL OR outcome = 'not_sent' OR (core_incarnation IS NOT NULL AND chain_slot IS NOT NULL AND chain_seq IS NOT NULL AND chain_head IS NOT NULL)),
    CHECK (outcome IS DISTINCT FROM 'refused' OR reason IS NOT NULL)
) WITH (fillfactor = 70, autovacuum_vacuum_threshold = 100000, autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON TABLE attempt IS 'One submission of a transfer to the core; open until the core''s stored answer is here. A timeout closes nothing.';
COMMENT ON COLUMN attempt.id IS 'Derived from bank, UETR and number (ids.py): the head of the core''s linked set.';
COMMENT ON COLUMN attempt.lease_token IS 'Raised by each takeover; only a holder that saw none may say that nothing was written.';
COMMENT ON COLUMN attempt.chain_head IS 'Head of the core''s hash chain at the answer: a cut tail of the core is found against it.';
CREATE UNIQUE INDEX attempt_one_open ON attempt (transfer) WHERE outcome IS NULL;
CREATE INDEX attempt_open ON attempt (lease_until_ms) WHERE outcome IS NULL;

CREATE TABLE payment_return (
    transfer        uuid PRIMARY KEY REFERENCES transfer,
    return_id       text NOT NULL UNIQUE CHECK (length(return_id) BETWEEN 1 AND 35),
    reason          text NOT NULL,
    decided_ms      bigint NOT NULL,
    acknowledged_ms bigint,
    burn_due        boolean NOT NULL
);
COMMENT ON TABLE payment_return IS 'The durable decision that the money goes back: one a transfer, repeated to the bank until it has booked it.';
COMMENT ON COLUMN payment_return.burn_due IS 'No attempt was ever sent; the first attempt id is still to be burnt at the core once it is reachable.';
CREATE INDEX return_burn_due ON payment_return (decided_ms) WHERE burn_due;

CREATE TABLE outgoing_message (
    msg_id       text PRIMARY KEY,
    bank         text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('status', 'return', 'resolution')),
    body         bytea NOT NULL,
    created_ms   bigint NOT NULL,
    next_send_ms bigint NOT NULL,
    tries        integer NOT NULL DEFAULT 0,
    settled_ms   bigint
) WITH (fillfactor = 70, autovacuum_vacuum_threshold = 100000, autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON TABLE outgoing_message IS 'What is owed to a bank, same bytes each time: a status report until its 2xx, a return until its acknowledgement.';
CREATE INDEX outgoing_due ON outgoing_message (bank, next_send_ms) WHERE settled_ms IS NULL;

CREATE TABLE outbox (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transfer   uuid NOT NULL,
    bank       text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('final', 'held', 'return', 'resolution')),
    fact       jsonb NOT NULL,
    created_ms bigint NOT NULL,
    msg_id     text
) WITH (fillfactor = 70, autovacuum_vacuum_threshold = 100000, autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON TABLE outbox IS 'Facts to tell a bank, written in the commit that made them true; gathered into outgoing messages.';
CREATE UNIQUE INDEX outbox_once ON outbox (transfer, kind) WHERE kind <> 'held';
CREATE INDEX outbox_waiting ON outbox (bank, seq) WHERE msg_id IS NULL;

CREATE TABLE recall (
    bank            text NOT NULL REFERENCES bank,
    cancellation_id text NOT NULL,
    uetr            uuid NOT NULL,
    assignment_id   text NOT NULL,
    reason          text NOT NULL,
    asked_ms        bigint NOT NULL,
    PRIMARY KEY (bank, cancellation_id, uetr)
);
COMMENT ON TABLE recall IS 'Cancellation requests (camt.056), kept for ever.';
CREATE INDEX recall_of_transfer ON recall (bank, uetr);

CREATE TABLE reconciliation_break (
    seq       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transfer  uuid REFERENCES transfer,
    kind      text NOT NULL,
    evidence  jsonb NOT NULL,
    opened_ms bigint NOT NULL,
    UNIQUE (transfer, kind)
);
COMMENT ON TABLE reconciliation_break IS 'Evidence that contradicts what was recorded; never swallowed, settled by people or by rule.';

-- PostgreSQL refuses what no correct program asks for. What compares a row with itself is a condition and calls a function
-- only to refuse; what needs other rows looks at all rows of a statement at once, in place of foreign keys too. Whatever
-- is looked up there is a subquery that cannot become a join.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HK001';
END $$;

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = TG_ARGV[1], ERRCODE = TG_ARGV[0];
END $$;

-- The lock on the transfer's row orders attempts and returns; what was committed before it is only seen by a
-- statement with a snapshot of its own.
CREATE FUNCTION require_read_committed() RETURNS void LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'attempts and returns are written under READ COMMITTED' USING ERRCODE = 'HK018';
    END IF;
END $$;

-- Banks: a foreign key locks the bank's one row for every transfer; a statement looks once.

CREATE FUNCTION banks_are_known() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT bank FROM added) AS named
        WHERE NOT EXISTS (SELECT FROM bank b WHERE b.id = named.bank OFFSET 0)
    ) THEN
        RAISE EXCEPTION 'no such bank' USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER message_bank AFTER INSERT ON message REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION banks_are_known();
CREATE TRIGGER transfer_bank AFTER INSERT ON transfer REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION banks_are_known();
CREATE TRIGGER outgoing_bank AFTER INSERT ON outgoing_message REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION banks_are_known();
CREATE TRIGGER bank_keeps_id AFTER UPDATE ON bank FOR EACH ROW WHEN (NEW.id <> OLD.id)
    EXECUTE FUNCTION refuse('HK026', 'a bank keeps its id');

CREATE TRIGGER transfer_begins AFTER INSERT ON transfer FOR EACH ROW
    WHEN (NEW.status NOT IN ('RECEIVED', 'IN_FLIGHT', 'REJECTED'))
    EXECUTE FUNCTION refuse('HK017', 'a transfer begins in custody, in flight or refused');

-- A transfer in flight and its attempt are inserted by one statement.
CREATE FUNCTION transfers_begin() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added
        WHERE added.status = 'IN_FLIGHT'
            AND (SELECT bool_or(a.outcome IS NULL) FROM attempt a WHERE a.transfer = added.id) IS NOT TRUE
    ) THEN
        RAISE EXCEPTION 'in flight without an open attempt' USING ERRCODE = 'HK025';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER transfer_begins_attempted AFTER INSERT ON transfer REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION transfers_begin();

-- The lock comes first, and what is looked up after it has snapshots of its own.
CREATE FUNCTION attempts_fit() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
    code text;
BEGIN
    PERFORM require_read_committed();
    PERFORM FROM (SELECT DISTINCT transfer FROM added ORDER BY transfer) AS named,
        LATERAL (SELECT FROM transfer t WHERE t.id = named.transfer LIMIT 1 FOR NO KEY UPDATE) AS locked;
    SELECT CASE
        WHEN owner.status IS NULL THEN 'no transfer'
        WHEN added.outcome IS NOT NULL OR added.lease_token <> 1 THEN 'HK006'
        WHEN owner.status = 'REJECTED' OR earlier.posted THEN 'HK004'
        WHEN owner.returned THEN 'HK002'
        WHEN earlier.unanswered THEN 'HK003'
        ELSE 'HK005' END INTO code
    FROM added LEFT JOIN LATERAL (
        SELECT t.status, (SELECT r.transfer FROM payment_return r WHERE r.transfer = t.id LIMIT 1) IS NOT NULL AS returned
        FROM transfer t WHERE t.id = added.transfer LIMIT 1
    ) AS owner ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(max(a.number), 0) AS last, coalesce(bool_or(a.outcome IS NULL), false) AS unanswered,
            coalesce(bool_or(a.outcome = 'posted'), false) AS posted
        FROM attempt a WHERE a.transfer = added.transfer AND a.number < added.number
    ) AS earlier
    WHERE owner.status IS NULL OR owner.status = 'REJECTED' OR owner.returned
        OR added.outcome IS NOT NULL OR added.lease_token <> 1
        OR earlier.unanswered OR earlier.posted OR added.number <> earlier.last + 1
    LIMIT 1;
    IF code = 'no transfer' THEN
        RAISE EXCEPTION 'attempt of no transfer' USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_NAME;
    ELSIF code IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = CASE code
            WHEN 'HK002' THEN 'attempt after a return'
            WHEN 'HK003' THEN 'two open attempts'
            WHEN 'HK004' THEN 'attempt after a posted one, or for what was never in custody'
            WHEN 'HK005' THEN 'attempt numbers have no gaps'
            ELSE 'an attempt is recorded open, before it is sent' END;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER attempt_fits AFTER INSERT ON attempt REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION attempts_fit();

CREATE TRIGGER attempt_closed_stays AFTER UPDATE ON attempt FOR EACH ROW WHEN (OLD.outcome IS NOT NULL)
    EXECUTE FUNCTION refuse('HK007', 'a closed attempt is never changed');
CREATE TRIGGER attempt_keeps_identity AFTER UPDATE ON attempt FOR EACH ROW
    WHEN ((NEW.id, NEW.transfer, NEW.number, NEW.recorded_ms)
        IS DISTINCT FROM (OLD.id, OLD.transfer, OLD.number, OLD.recorded_ms))
    EXECUTE FUNCTION refuse('HK007', 'an attempt keeps its identity');
CREATE TRIGGER attempt_token_rises AFTER UPDATE ON attempt FOR EACH ROW
    WHEN (NEW.lease_token < OLD.lease_token
        OR (NEW.lease_holder <> OLD.lease_holder AND NEW.lease_token = OLD.lease_token))
    EXECUTE FUNCTION refuse('HK008', 'a takeover raises the lease token');
CREATE TRIGGER attempt_unsent_by_holder AFTER UPDATE ON attempt FOR EACH ROW
    WHEN (NEW.outcome = 'not_sent' AND (NEW.closed_by IS DISTINCT FROM OLD.lease_holder
        OR NEW.closed_token IS DISTINCT FROM OLD.lease_token OR OLD.lease_token <> 1))
    EXECUTE FUNCTION refuse('HK009', 'only the first holder of the lease may say that nothing was sent');

CREATE FUNCTION return_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    PERFORM require_read_committed();
    PERFORM 1 FROM transfer WHERE id = NEW.transfer FOR NO KEY UPDATE;
    IF EXISTS (SELECT 1 FROM attempt a WHERE a.transfer = NEW.transfer AND a.outcome IS NULL) THEN
        RAISE EXCEPTION 'return with an open attempt' USING ERRCODE = 'HK010';
    END IF;
    IF EXISTS (SELECT 1 FROM attempt a WHERE a.transfer = NEW.transfer AND a.outcome = 'posted') THEN
        RAISE EXCEPTION 'return of a credited transfer' USING ERRCODE = 'HK011';
    END IF;
    IF EXISTS (SELECT 1 FROM transfer t WHERE t.id = NEW.transfer AND t.status = 'REJECTED') THEN
        RAISE EXCEPTION 'return of what was never in custody' USING ERRCODE = 'HK011';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER return_guard BEFORE INSERT ON payment_return FOR EACH ROW EXECUTE FUNCTION return_guard();

CREATE FUNCTION return_change_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF (NEW.transfer, NEW.return_id, NEW.reason, NEW.decided_ms) IS DISTINCT FROM (OLD.transfer, OLD.return_id, OLD.reason, OLD.decided_ms)
            OR (OLD.acknowledged_ms IS NOT NULL AND NEW.acknowledged_ms IS DISTINCT FROM OLD.acknowledged_ms)
            OR (NEW.burn_due AND NOT OLD.burn_due) THEN
        RAISE EXCEPTION 'a return is decided once' USING ERRCODE = 'HK012';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER return_change_guard BEFORE UPDATE ON payment_return FOR EACH ROW EXECUTE FUNCTION return_change_guard();

CREATE TRIGGER transfer_keeps_order AFTER UPDATE ON transfer FOR EACH ROW
    WHEN ((NEW.id, NEW.bank, NEW.uetr, NEW.tracking, NEW.content_sha256, NEW.amount_minor, NEW.currency, NEW.creditor_msisdn,
            NEW.received_ms, NEW.valid_until_ms, NEW.return_at_ms, NEW.deadline_ms)
        IS DISTINCT FROM
       (OLD.id, OLD.bank, OLD.uetr, OLD.tracking, OLD.content_sha256, OLD.amount_minor, OLD.currency, OLD.creditor_msisdn,
            OLD.received_ms, OLD.valid_until_ms, OLD.return_at_ms, OLD.deadline_ms))
    EXECUTE FUNCTION refuse('HK013', 'a transfer''s order and promise are never changed');
CREATE TRIGGER transfer_mark_stays AFTER UPDATE ON transfer FOR EACH ROW
    WHEN (NEW.burn_first <> OLD.burn_first AND (OLD.burn_first OR OLD.status NOT IN ('RECEIVED', 'IN_FLIGHT')))
    EXECUTE FUNCTION refuse('HK024', 'only a transfer without an end is marked as older than a restore, and stays marked');
CREATE TRIGGER transfer_end_stays AFTER UPDATE ON transfer FOR EACH ROW
    WHEN (NEW.status <> OLD.status AND OLD.status IN ('COMPLETED', 'RETURNED', 'REJECTED'))
    EXECUTE FUNCTION refuse('HK014', 'a final status never changes');
CREATE TRIGGER transfer_not_rejected AFTER UPDATE ON transfer FOR EACH ROW
    WHEN (NEW.status = 'REJECTED' AND OLD.status IN ('RECEIVED', 'IN_FLIGHT'))
    EXECUTE FUNCTION refuse('HK015', 'nothing in custody is rejected');

CREATE FUNCTION statuses_follow() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
    code text;
BEGIN
    SELECT CASE WHEN fact.unanswered THEN 'HK019' WHEN updated.status = 'COMPLETED' THEN 'HK020' ELSE 'HK021' END INTO code
    FROM updated CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(a.outcome IS NULL), false) AS unanswered,
            coalesce(bool_or(a.outcome = 'posted'), false) AS posted
        FROM attempt a WHERE a.transfer = updated.id
    ) AS fact
    WHERE (updated.status <> 'IN_FLIGHT' AND fact.unanswered)
        OR (updated.status = 'COMPLETED' AND NOT fact.posted)
        OR (updated.status = 'RETURNED'
            AND (SELECT r.transfer FROM payment_return r WHERE r.transfer = updated.id LIMIT 1) IS NULL)
    LIMIT 1;
    IF code IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = CASE code
            WHEN 'HK019' THEN 'no such status with an open attempt'
            WHEN 'HK020' THEN 'completed without a posted attempt'
            ELSE 'returned without a return' END;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER transfer_follows AFTER UPDATE ON transfer REFERENCING NEW TABLE AS updated
    FOR EACH STATEMENT EXECUTE FUNCTION statuses_follow();

CREATE TRIGGER outgoing_keeps_bytes AFTER UPDATE ON outgoing_message FOR EACH ROW
    WHEN ((NEW.msg_id, NEW.bank, NEW.kind, NEW.body, NEW.created_ms)
            IS DISTINCT FROM (OLD.msg_id, OLD.bank, OLD.kind, OLD.body, OLD.created_ms)
        OR (OLD.settled_ms IS NOT NULL AND NEW.settled_ms IS DISTINCT FROM OLD.settled_ms))
    EXECUTE FUNCTION refuse('HK016', 'a message keeps its bytes');

CREATE FUNCTION bank_key_change_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF (NEW.kid, NEW.bank, NEW.public_key, NEW.added_ms) IS DISTINCT FROM (OLD.kid, OLD.bank, OLD.public_key, OLD.added_ms)
            OR (OLD.revoked_ms IS NOT NULL AND NEW.revoked_ms IS DISTINCT FROM OLD.revoked_ms) THEN
        RAISE EXCEPTION 'a key keeps its owner, and a revoked one stays revoked' USING ERRCODE = 'HK022';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER bank_key_change_guard BEFORE UPDATE ON bank_key FOR EACH ROW EXECUTE FUNCTION bank_key_change_guard();

-- What banks are told: a fact is of its transfer's own bank, and so is the message that carries it.

CREATE FUNCTION facts_fit() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added
        WHERE (SELECT t.bank FROM transfer t WHERE t.id = added.transfer LIMIT 1) IS DISTINCT FROM added.bank
            OR (added.msg_id IS NOT NULL
                AND (SELECT m.bank FROM outgoing_message m WHERE m.msg_id = added.msg_id LIMIT 1)
                    IS DISTINCT FROM added.bank)
    ) THEN
        RAISE EXCEPTION 'a fact names a transfer and its bank, and is carried by a message to it'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_fits AFTER INSERT ON outbox REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION facts_fit();
CREATE FUNCTION facts_are_carried() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT bank, msg_id FROM updated WHERE msg_id IS NOT NULL) AS named
        WHERE (SELECT m.bank FROM outgoing_message m WHERE m.msg_id = named.msg_id LIMIT 1) IS DISTINCT FROM named.bank
    ) THEN
        RAISE EXCEPTION 'a fact is carried by a message to its bank'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_carried AFTER UPDATE ON outbox REFERENCING NEW TABLE AS updated
    FOR EACH STATEMENT EXECUTE FUNCTION facts_are_carried();
CREATE TRIGGER outbox_told_once AFTER UPDATE ON outbox FOR EACH ROW
    WHEN ((NEW.seq, NEW.transfer, NEW.bank, NEW.kind, NEW.fact, NEW.created_ms)
            IS DISTINCT FROM (OLD.seq, OLD.transfer, OLD.bank, OLD.kind, OLD.fact, OLD.created_ms)
        OR (OLD.msg_id IS NOT NULL AND NEW.msg_id IS DISTINCT FROM OLD.msg_id))
    EXECUTE FUNCTION refuse('HK023', 'a fact is told once, by one message');

CREATE TRIGGER message_append_only BEFORE UPDATE OR DELETE ON message FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER recall_append_only BEFORE UPDATE OR DELETE ON recall FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER break_append_only BEFORE UPDATE OR DELETE ON reconciliation_break FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER incarnation_append_only BEFORE UPDATE OR DELETE ON incarnation FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfer_no_delete BEFORE DELETE ON transfer FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER attempt_no_delete BEFORE DELETE ON attempt FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER return_no_delete BEFORE DELETE ON payment_return FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER outgoing_no_delete BEFORE DELETE ON outgoing_message FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER outbox_no_delete BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER message_no_truncate BEFORE TRUNCATE ON message EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfer_no_truncate BEFORE TRUNCATE ON transfer EXECUTE FUNCTION refuse_change();
CREATE TRIGGER attempt_no_truncate BEFORE TRUNCATE ON attempt EXECUTE FUNCTION refuse_change();
CREATE TRIGGER return_no_truncate BEFORE TRUNCATE ON payment_return EXECUTE FUNCTION refuse_change();
CREATE TRIGGER outgoing_no_truncate BEFORE TRUNCATE ON outgoing_message EXECUTE FUNCTION refuse_change();
CREATE TRIGGER recall_no_truncate BEFORE TRUNCATE ON recall EXECUTE FUNCTION refuse_change();
CREATE TRIGGER break_no_truncate BEFORE TRUNCATE ON reconciliation_break EXECUTE FUNCTION refuse_change();
CREATE TRIGGER bank_no_delete BEFORE DELETE ON bank FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER bank_key_no_delete BEFORE DELETE ON bank_key FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER core_incarnation_no_delete BEFORE DELETE ON core_incarnation FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER bank_no_truncate BEFORE TRUNCATE ON bank EXECUTE FUNCTION refuse_change();
CREATE TRIGGER bank_key_no_truncate BEFORE TRUNCATE ON bank_key EXECUTE FUNCTION refuse_change();
CREATE TRIGGER core_incarnation_no_truncate BEFORE TRUNCATE ON core_incarnation EXECUTE FUNCTION refuse_change();
CREATE TRIGGER incarnation_no_truncate BEFORE TRUNCATE ON incarnation EXECUTE FUNCTION refuse_change();
CREATE TRIGGER outbox_no_truncate BEFORE TRUNCATE ON outbox EXECUTE FUNCTION refuse_change();

-- Readable views for people at psql.

CREATE VIEW ops.transfer AS
SELECT 'trf_' || replace(t.id::text, '-', '') AS transfer, t.bank, t.uetr, t.end_to_end_id, t.amount_minor, t.currency,
       t.status, t.reason, to_timestamp(t.received_ms / 1000.0) AS received_at, to_timestamp(t.deadline_ms / 1000.0) AS deadline,
       to_timestamp(t.status_ms / 1000.0) AS status_since,
       (SELECT count(*) FROM attempt a WHERE a.transfer = t.id) AS attempts,
       EXISTS (SELECT 1 FROM attempt a WHERE a.transfer = t.id AND a.outcome IS NULL) AS attempt_open
FROM transfer t;
COMMENT ON VIEW ops.transfer IS 'Transfers with readable instants; no names and no numbers.';

CREATE VIEW ops.limbo AS
SELECT bank, status, count(*) AS transfers, sum(amount_minor) AS amount_minor, currency,
       min(to_timestamp(deadline_ms / 1000.0)) AS next_deadline
FROM transfer WHERE status IN ('RECEIVED', 'IN_FLIGHT') GROUP BY bank, status, currency;
COMMENT ON VIEW ops.limbo IS 'Money in custody that is neither completed nor returned.';

-- Least privilege: the application adds rows and changes the few columns that a life moves.

GRANT USAGE ON SCHEMA public TO hakika_gateway_app, hakika_gateway_reader;
GRANT USAGE ON SCHEMA ops TO hakika_gateway_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO hakika_gateway_app, hakika_gateway_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA ops TO hakika_gateway_reader;
GRANT INSERT ON message, transfer, attempt, payment_return, outgoing_message, outbox, recall, reconciliation_break,
    core_incarnation, bank, bank_key TO hakika_gateway_app;
GRANT UPDATE (status, status_ms, reason, fee_minor, next_attempt_ms, recalled_reason) ON transfer TO hakika_gateway_app;
GRANT UPDATE (lease_holder, lease_token, lease_until_ms, outcome, reason, closed_ms, closed_by, closed_token,
    core_incarnation, chain_slot, chain_seq, chain_head) ON attempt TO hakika_gateway_app;
GRANT UPDATE (acknowledged_ms, burn_due) ON payment_return TO hakika_gateway_app;
GRANT UPDATE (next_send_ms, tries, settled_ms) ON outgoing_message TO hakika_gateway_app;
GRANT UPDATE (msg_id) ON outbox TO hakika_gateway_app;
GRANT UPDATE (redriven_ms) ON core_incarnation TO hakika_gateway_app;
GRANT UPDATE (name, callback_url, rule_pack) ON bank TO hakika_gateway_app;
GRANT UPDATE (revoked_ms) ON bank_key TO hakika_gateway_app;
