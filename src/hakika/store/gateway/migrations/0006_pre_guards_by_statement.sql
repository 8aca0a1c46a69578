-- The same rules, looked at once a statement where they need other rows, and without a function where they compare a row
-- with itself: half of PostgreSQL's time for a transfer went to functions called row by row (docs/adr/0015).
-- What is held is known by a column of its own, so that a status that changes later touches no index. PostgreSQL writes
-- the whole of `transfer` anew for that column, and intake waits for as long as it takes.

ALTER TABLE transfer ADD COLUMN held boolean NOT NULL GENERATED ALWAYS AS (status = 'RECEIVED') STORED;
COMMENT ON COLUMN transfer.held IS 'In custody with no attempt open. What is asked for by deadline stands in indexes on this column: a change of status touches no index but when it begins or ends being held.';
CREATE INDEX transfer_in_custody ON transfer (bank, deadline_ms) WHERE held;
CREATE INDEX transfer_to_burn ON transfer (id) WHERE burn_first AND held;

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = TG_ARGV[1], ERRCODE = TG_ARGV[0];
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
ALTER TABLE message DROP CONSTRAINT message_bank_fkey;
ALTER TABLE transfer DROP CONSTRAINT transfer_bank_fkey;
ALTER TABLE outgoing_message DROP CONSTRAINT outgoing_message_bank_fkey;

-- Transfers.

DROP TRIGGER transfer_guard ON transfer;
DROP FUNCTION transfer_guard();
CREATE TRIGGER transfer_begins AFTER INSERT ON transfer FOR EACH ROW
    WHEN (NEW.status NOT IN ('RECEIVED', 'IN_FLIGHT', 'REJECTED'))
    EXECUTE FUNCTION refuse('HK017', 'a transfer begins in custody, in flight or refused');

DROP TRIGGER transfer_change_guard ON transfer;
DROP FUNCTION transfer_change_guard();
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

-- Attempts. The lock comes first, and what is looked up after it has snapshots of its own.

DROP TRIGGER attempt_guard ON attempt;
DROP FUNCTION attempt_guard();
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
ALTER TABLE attempt DROP CONSTRAINT attempt_transfer_fkey;

DROP TRIGGER attempt_change_guard ON attempt;
DROP FUNCTION attempt_change_guard();
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
ALTER TABLE outbox DROP CONSTRAINT outbox_transfer_fkey;
ALTER TABLE outbox DROP CONSTRAINT outbox_bank_fkey;
ALTER TABLE outbox DROP CONSTRAINT outbox_msg_id_fkey;

DROP TRIGGER outbox_change_guard ON outbox;
DROP FUNCTION outbox_change_guard();
CREATE TRIGGER outbox_told_once AFTER UPDATE ON outbox FOR EACH ROW
    WHEN ((NEW.seq, NEW.transfer, NEW.bank, NEW.kind, NEW.fact, NEW.created_ms)
            IS DISTINCT FROM (OLD.seq, OLD.transfer, OLD.bank, OLD.kind, OLD.fact, OLD.created_ms)
        OR (OLD.msg_id IS NOT NULL AND NEW.msg_id IS DISTINCT FROM OLD.msg_id))
    EXECUTE FUNCTION refuse('HK023', 'a fact is told once, by one message');

DROP TRIGGER outgoing_change_guard ON outgoing_message;
DROP FUNCTION outgoing_change_guard();
CREATE TRIGGER outgoing_keeps_bytes AFTER UPDATE ON outgoing_message FOR EACH ROW
    WHEN ((NEW.msg_id, NEW.bank, NEW.kind, NEW.body, NEW.created_ms)
            IS DISTINCT FROM (OLD.msg_id, OLD.bank, OLD.kind, OLD.body, OLD.created_ms)
        OR (OLD.settled_ms IS NOT NULL AND NEW.settled_ms IS DISTINCT FROM OLD.settled_ms))
    EXECUTE FUNCTION refuse('HK016', 'a message keeps its bytes');
