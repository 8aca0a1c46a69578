-- A status is compared with its facts; what is revoked, assigned or registered stays; nothing is emptied.

ALTER TABLE recall DROP CONSTRAINT recall_pkey;
ALTER TABLE recall ADD PRIMARY KEY (bank, cancellation_id, uetr);
CREATE INDEX recall_of_transfer ON recall (bank, uetr);

CREATE OR REPLACE FUNCTION transfer_change_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF (NEW.id, NEW.bank, NEW.uetr, NEW.tracking, NEW.content_sha256, NEW.amount_minor, NEW.currency, NEW.creditor_msisdn,
            NEW.received_ms, NEW.valid_until_ms, NEW.return_at_ms, NEW.deadline_ms)
        IS DISTINCT FROM
       (OLD.id, OLD.bank, OLD.uetr, OLD.tracking, OLD.content_sha256, OLD.amount_minor, OLD.currency, OLD.creditor_msisdn,
            OLD.received_ms, OLD.valid_until_ms, OLD.return_at_ms, OLD.deadline_ms) THEN
        RAISE EXCEPTION 'a transfer''s order and promise are never changed' USING ERRCODE = 'HK013';
    END IF;
    IF NEW.status = OLD.status THEN
        RETURN NEW;
    END IF;
    IF OLD.status IN ('COMPLETED', 'RETURNED', 'REJECTED') THEN
        RAISE EXCEPTION 'a final status never changes' USING ERRCODE = 'HK014';
    END IF;
    IF NEW.status = 'REJECTED' THEN
        RAISE EXCEPTION 'nothing in custody is rejected' USING ERRCODE = 'HK015';
    END IF;
    IF NEW.status <> 'IN_FLIGHT' AND EXISTS (SELECT 1 FROM attempt a WHERE a.transfer = NEW.id AND a.outcome IS NULL) THEN
        RAISE EXCEPTION 'status % with an open attempt', NEW.status USING ERRCODE = 'HK019';
    END IF;
    IF NEW.status = 'COMPLETED' AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.transfer = NEW.id AND a.outcome = 'posted') THEN
        RAISE EXCEPTION 'completed without a posted attempt' USING ERRCODE = 'HK020';
    END IF;
    IF NEW.status = 'RETURNED' AND NOT EXISTS (SELECT 1 FROM payment_return r WHERE r.transfer = NEW.id) THEN
        RAISE EXCEPTION 'returned without a return' USING ERRCODE = 'HK021';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION bank_key_change_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF (NEW.kid, NEW.bank, NEW.public_key, NEW.added_ms) IS DISTINCT FROM (OLD.kid, OLD.bank, OLD.public_key, OLD.added_ms)
            OR (OLD.revoked_ms IS NOT NULL AND NEW.revoked_ms IS DISTINCT FROM OLD.revoked_ms) THEN
        RAISE EXCEPTION 'a key keeps its owner, and a revoked one stays revoked' USING ERRCODE = 'HK022';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER bank_key_change_guard BEFORE UPDATE ON bank_key FOR EACH ROW EXECUTE FUNCTION bank_key_change_guard();

CREATE FUNCTION outbox_change_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF (NEW.seq, NEW.transfer, NEW.bank, NEW.kind, NEW.fact, NEW.created_ms)
            IS DISTINCT FROM (OLD.seq, OLD.transfer, OLD.bank, OLD.kind, OLD.fact, OLD.created_ms)
            OR (OLD.msg_id IS NOT NULL AND NEW.msg_id IS DISTINCT FROM OLD.msg_id) THEN
        RAISE EXCEPTION 'a fact is told once, by one message' USING ERRCODE = 'HK023';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER outbox_change_guard BEFORE UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION outbox_change_guard();

CREATE TRIGGER bank_no_delete BEFORE DELETE ON bank FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER bank_key_no_delete BEFORE DELETE ON bank_key FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER core_incarnation_no_delete BEFORE DELETE ON core_incarnation FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER bank_no_truncate BEFORE TRUNCATE ON bank EXECUTE FUNCTION refuse_change();
CREATE TRIGGER bank_key_no_truncate BEFORE TRUNCATE ON bank_key EXECUTE FUNCTION refuse_change();
CREATE TRIGGER core_incarnation_no_truncate BEFORE TRUNCATE ON core_incarnation EXECUTE FUNCTION refuse_change();
CREATE TRIGGER incarnation_no_truncate BEFORE TRUNCATE ON incarnation EXECUTE FUNCTION refuse_change();
CREATE TRIGGER outbox_no_truncate BEFORE TRUNCATE ON outbox EXECUTE FUNCTION refuse_change();
