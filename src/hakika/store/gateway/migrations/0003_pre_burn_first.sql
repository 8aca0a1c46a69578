-- A restore of this database: what it does not know to have ended is burnt under all its ids before anything else.

ALTER TABLE transfer ADD COLUMN burn_first boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN transfer.burn_first IS 'Older than a restore of this database: its attempts, and even its end, may be missing here. The burn of every id that it can have decides. Set when it is taken into custody, or by the owner while it has no end; never unset.';
CREATE INDEX transfer_burn_first ON transfer (id) WHERE burn_first AND status = 'RECEIVED';

ALTER TABLE attempt ADD CONSTRAINT attempt_number_max CHECK (number <= 64);

CREATE OR REPLACE FUNCTION transfer_change_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF (NEW.id, NEW.bank, NEW.uetr, NEW.tracking, NEW.content_sha256, NEW.amount_minor, NEW.currency, NEW.creditor_msisdn,
            NEW.received_ms, NEW.valid_until_ms, NEW.return_at_ms, NEW.deadline_ms)
        IS DISTINCT FROM
       (OLD.id, OLD.bank, OLD.uetr, OLD.tracking, OLD.content_sha256, OLD.amount_minor, OLD.currency, OLD.creditor_msisdn,
            OLD.received_ms, OLD.valid_until_ms, OLD.return_at_ms, OLD.deadline_ms) THEN
        RAISE EXCEPTION 'a transfer''s order and promise are never changed' USING ERRCODE = 'HK013';
    END IF;
    IF NEW.burn_first <> OLD.burn_first AND (OLD.burn_first OR OLD.status NOT IN ('RECEIVED', 'IN_FLIGHT')) THEN
        RAISE EXCEPTION 'only a transfer without an end is marked as older than a restore, and stays marked' USING ERRCODE = 'HK024';
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
