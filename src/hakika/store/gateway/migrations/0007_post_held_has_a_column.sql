-- What only the code before 0006 needs: its indexes, which made every change of a status touch all indexes of a transfer,
-- and a look at each commit, since it inserted a transfer in flight and its attempt one after the other. Both come in one
-- statement now, and are looked at when it ends.

DROP INDEX transfer_held;
DROP INDEX transfer_burn_first;
DROP TRIGGER transfer_begun_guard ON transfer;
DROP FUNCTION transfer_begun_guard();
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
