-- The same rules about an attempt; what is known of the transfer's other attempts is read once instead of three times.

CREATE OR REPLACE FUNCTION attempt_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
    present text;
    last integer;
    unanswered boolean;
    posted boolean;
BEGIN
    PERFORM require_read_committed();
    SELECT status INTO present FROM transfer WHERE id = NEW.transfer FOR NO KEY UPDATE;
    IF present = 'REJECTED' THEN
        RAISE EXCEPTION 'attempt for what was never in custody' USING ERRCODE = 'HK004';
    END IF;
    IF EXISTS (SELECT 1 FROM payment_return r WHERE r.transfer = NEW.transfer) THEN
        RAISE EXCEPTION 'attempt after a return' USING ERRCODE = 'HK002';
    END IF;
    SELECT coalesce(max(a.number), 0), coalesce(bool_or(a.outcome IS NULL), false), coalesce(bool_or(a.outcome = 'posted'), false)
        INTO last, unanswered, posted FROM attempt a WHERE a.transfer = NEW.transfer;
    IF unanswered THEN
        RAISE EXCEPTION 'two open attempts' USING ERRCODE = 'HK003';
    END IF;
    IF posted THEN
        RAISE EXCEPTION 'attempt after a posted one' USING ERRCODE = 'HK004';
    END IF;
    IF NEW.number <> last + 1 THEN
        RAISE EXCEPTION 'attempt numbers have no gaps' USING ERRCODE = 'HK005';
    END IF;
    IF NEW.outcome IS NOT NULL OR NEW.lease_token <> 1 THEN
        RAISE EXCEPTION 'an attempt is recorded open, before it is sent' USING ERRCODE = 'HK006';
    END IF;
    RETURN NEW;
END $$;
