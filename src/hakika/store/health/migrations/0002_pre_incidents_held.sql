-- Incidents held to their rules: an end to all of the close rule, a tick to one judgement with its events, a story to its
-- opening and to the open one in which it goes on, an operator's event to a form.

ALTER TABLE judgement ADD CONSTRAINT judgement_once UNIQUE (at_ms);
ALTER TABLE incident_event ADD CONSTRAINT incident_event_form CHECK (CASE
        WHEN kind IN ('opened_by_hand', 'acknowledged', 'words', 'corrected', 'said_resolved') THEN actor <> 'rule' AND act IS NOT NULL
        WHEN kind = 'merged' THEN (actor = 'rule') = (act IS NULL)
        WHEN kind = 'grew' THEN act IS NULL
        ELSE actor = 'rule' AND act IS NULL END);

CREATE OR REPLACE FUNCTION incident_event_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
    last text;
    conditions jsonb := NEW.body -> 'conditions';
    relapse integer;
    said boolean;
BEGIN
    PERFORM 1 FROM incident WHERE id = NEW.incident FOR NO KEY UPDATE;
    IF NEW.number <> (SELECT coalesce(max(e.number), 0) + 1 FROM incident_event e WHERE e.incident = NEW.incident) THEN
        RAISE EXCEPTION 'events of an incident have no gaps' USING ERRCODE = 'HK030';
    END IF;
    IF (NEW.kind IN ('opened', 'opened_by_hand', 'overran')) <> (NEW.number = 1) THEN
        RAISE EXCEPTION 'an incident begins with its opening, once' USING ERRCODE = 'HK033';
    END IF;
    SELECT kind INTO last FROM incident_event WHERE incident = NEW.incident AND kind IN ('opened', 'opened_by_hand',
        'overran', 'relapsed', 'recovering', 'said_resolved', 'closed', 'merged') ORDER BY number DESC LIMIT 1;
    IF last = 'merged' OR (last = 'closed' AND NEW.kind NOT IN ('relapsed', 'words', 'corrected', 'merged')) THEN
        RAISE EXCEPTION 'the incident is over: % refused', NEW.kind USING ERRCODE = 'HK034';
    END IF;
    IF NEW.actor = 'rule' AND NOT EXISTS (SELECT FROM judgement j WHERE j.at_ms = NEW.at_ms) THEN
        RAISE EXCEPTION 'a rule writes with its judgement' USING ERRCODE = 'HK036';
    END IF;
    IF NEW.kind = 'merged' AND (NEW.body ->> 'into' = NEW.incident::text
            OR NOT EXISTS (SELECT FROM open_cause o WHERE o.incident::text = NEW.body ->> 'into')) THEN
        RAISE EXCEPTION 'an incident goes on in another that is open' USING ERRCODE = 'HK037';
    END IF;
    IF NEW.kind = 'closed' THEN
        SELECT coalesce(max(e.number), 1) INTO relapse FROM incident_event e
            WHERE e.incident = NEW.incident AND e.kind = 'relapsed';
        said := EXISTS (SELECT FROM incident_event e
            WHERE e.incident = NEW.incident AND e.number > relapse AND e.kind = 'said_resolved');
        IF NOT (said OR EXISTS (SELECT FROM incident_event e WHERE e.incident = NEW.incident
                AND e.kind IN ('opened', 'overran', 'localised', 'grew', 'relapsed'))) THEN
            RAISE EXCEPTION 'what nothing has measured waits for the operator' USING ERRCODE = 'HK035';
        END IF;
        IF NOT EXISTS (SELECT FROM incident_event e WHERE e.incident = NEW.incident AND e.number > relapse
                AND (e.kind = 'recovering' OR (e.kind = 'said_resolved' AND NOT EXISTS (
                    SELECT FROM jsonb_each_text(e.body -> 'conditions') c WHERE c.value = 'unmet')))) THEN
            RAISE EXCEPTION 'an incident closes from recovery, never from a dispute' USING ERRCODE = 'HK035';
        END IF;
        IF NOT coalesce(conditions ?& ARRAY['failures', 'oldest', 'backlog', 'reports', 'probes'], false)
                OR (SELECT count(*) FROM jsonb_each_text(conditions) c WHERE c.value IN ('met', 'unmeasured')) <> 5
                OR (SELECT count(*) FROM jsonb_object_keys(conditions)) <> 5
                OR NOT (said OR 'met' IN (conditions ->> 'failures', conditions ->> 'probes')) THEN
            RAISE EXCEPTION 'an incident closes by measurement alone' USING ERRCODE = 'HK035';
        END IF;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION incident_opening_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM incident_event e WHERE e.incident = NEW.id AND e.number = 1 AND e.at_ms = NEW.opened_ms) THEN
        RAISE EXCEPTION 'an incident is stored with its opening' USING ERRCODE = 'HK033';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER incident_opens AFTER INSERT ON incident DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION incident_opening_guard();

CREATE FUNCTION tick_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF TG_TABLE_NAME = 'detector_state' THEN
        IF NEW.series = 'judge' AND NEW.upto_ms <= OLD.upto_ms THEN
            RAISE EXCEPTION 'the judge''s ticks only go on' USING ERRCODE = 'HK038';
        END IF;
    ELSIF NOT EXISTS (SELECT FROM detector_state d WHERE d.series = 'judge' AND d.upto_ms = NEW.at_ms) THEN
        RAISE EXCEPTION 'a judgement is stored in the commit of its tick' USING ERRCODE = 'HK039';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER detector_state_guard BEFORE UPDATE ON detector_state FOR EACH ROW EXECUTE FUNCTION tick_guard();
CREATE TRIGGER judgement_guard BEFORE INSERT ON judgement FOR EACH ROW EXECUTE FUNCTION tick_guard();
