-- A transfer may begin in flight: taken into custody and given its first attempt in one commit. What is in flight has an
-- open attempt, and that is looked at when the commit that begins with it is complete.

CREATE OR REPLACE FUNCTION transfer_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF NEW.status NOT IN ('RECEIVED', 'IN_FLIGHT', 'REJECTED') THEN
        RAISE EXCEPTION 'a transfer begins in custody or refused' USING ERRCODE = 'HK017';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION transfer_begun_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM attempt a WHERE a.transfer = NEW.id AND a.outcome IS NULL) THEN
        RAISE EXCEPTION 'in flight without an open attempt' USING ERRCODE = 'HK025';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER transfer_begun_guard AFTER INSERT ON transfer DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.status = 'IN_FLIGHT') EXECUTE FUNCTION transfer_begun_guard();
