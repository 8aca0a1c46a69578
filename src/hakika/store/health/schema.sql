-- Health's database as it is today, for reading; what machines run is in migrations/, and a test holds both equal.
-- Evidence and judgements are only ever added; an incident is the sum of its events. Instants are bigint
-- milliseconds since 1970 UTC. Runs as hakika_health_owner; the roles hakika_health_app and _reader exist already.

CREATE TABLE incarnation (
    number      integer PRIMARY KEY CHECK (number > 0),
    raised_ms   bigint NOT NULL,
    reason      text NOT NULL CHECK (reason <> '')
);
COMMENT ON TABLE incarnation IS 'Raised by a restore or a lossy failover of this database; the highest number is in force.';
INSERT INTO incarnation VALUES (1, (extract(epoch FROM now()) * 1000)::bigint, 'created');

-- Evidence

CREATE SEQUENCE evidence_seq;
COMMENT ON SEQUENCE evidence_seq IS 'Order of evidence as it became visible: writers of intervals and silences take turns, so whoever has read up to a number has missed nothing below it.';

CREATE TABLE signal_interval (
    seq        bigint NOT NULL DEFAULT nextval('evidence_seq') UNIQUE,
    series     text NOT NULL CHECK (series ~ '^[a-z]+:[A-Za-z0-9._:-]{1,80}$'),
    source     text NOT NULL,
    at_ms      bigint NOT NULL,
    width_ms   integer NOT NULL CHECK (width_ms > 0),
    arrived    integer NOT NULL CHECK (arrived >= 0),
    ended      integer NOT NULL CHECK (ended >= 0),
    failed     jsonb NOT NULL DEFAULT '{}',
    own_errors integer NOT NULL DEFAULT 0 CHECK (own_errors >= 0),
    open_count integer NOT NULL DEFAULT 0 CHECK (open_count >= 0),
    oldest_ms  bigint NOT NULL DEFAULT 0 CHECK (oldest_ms >= 0),
    PRIMARY KEY (series, at_ms, source)
);
COMMENT ON TABLE signal_interval IS 'What one series saw in one interval, as the roles count it outside the money path. An interval that nobody delivered has no row.';
COMMENT ON COLUMN signal_interval.series IS 'kind:name: corridor:bank-a, channel:bank-api, channel:tracking, product:bank-to-wallet, role:core.';
COMMENT ON COLUMN signal_interval.failed IS 'Technical failures by reason, `stuck` among them; each is in `ended` too.';
COMMENT ON COLUMN signal_interval.own_errors IS 'Customers'' own errors (unknown wallet, limits): in `ended`, never in `failed`.';
COMMENT ON COLUMN signal_interval.oldest_ms IS 'Age of the oldest open transfer at the end of the interval.';
CREATE INDEX signal_interval_time ON signal_interval (at_ms);

CREATE TABLE signal_source (
    source        text PRIMARY KEY,
    life          text NOT NULL,
    upto          bigint NOT NULL CHECK (upto >= 0),
    correction_ms bigint NOT NULL DEFAULT 0,
    asked_ms      bigint NOT NULL
);
COMMENT ON TABLE signal_source IS 'Where the collector stands with each source; written in the commit of the intervals, so that none is stored twice.';
COMMENT ON COLUMN signal_source.life IS 'The process that numbered them; another one begins again at 1.';
COMMENT ON COLUMN signal_source.correction_ms IS 'Added to the source''s instants because its clock differs from ours by more than 2 s.';

CREATE TABLE silence (
    seq    bigint NOT NULL DEFAULT nextval('evidence_seq') UNIQUE,
    source text NOT NULL,
    at_ms  bigint NOT NULL,
    PRIMARY KEY (source, at_ms)
);
COMMENT ON TABLE silence IS 'A source that did not answer when it was asked: evidence by itself.';

CREATE TABLE probe_result (
    id         uuid PRIMARY KEY,
    vantage    text NOT NULL,
    probe      text NOT NULL,
    component  text NOT NULL,
    at_ms      bigint NOT NULL,
    received_ms bigint NOT NULL,
    ok         boolean NOT NULL,
    latency_ms integer NOT NULL CHECK (latency_ms >= 0),
    detail     text NOT NULL DEFAULT '' CHECK (length(detail) <= 80)
);
COMMENT ON TABLE probe_result IS 'Synthetic tests of the ways in, each signed by its vantage; `detail` is a machine word.';
CREATE INDEX probe_result_time ON probe_result (at_ms);

CREATE TABLE report (
    id        uuid PRIMARY KEY,
    at_ms     bigint NOT NULL,
    component text NOT NULL,
    person    bytea NOT NULL CHECK (octet_length(person) = 32),
    source    text NOT NULL CHECK (source IN ('status_page', 'tracking_page', 'desk', 'feed')),
    day       date NOT NULL,
    hour      smallint NOT NULL CHECK (hour BETWEEN 0 AND 23),
    UNIQUE (person, component, day, hour)
);
COMMENT ON TABLE report IS 'Customers'' reports: one a person, service and hour. No text is kept.';
COMMENT ON COLUMN report.person IS 'Keyed hash of who reported (address, account at a desk, author of a post); the key is not in this database.';
CREATE INDEX report_time ON report (at_ms);

CREATE TABLE report_origin (
    origin    bytea NOT NULL CHECK (octet_length(origin) = 32),
    component text NOT NULL,
    hour_ms   bigint NOT NULL CHECK (hour_ms % 3600000 = 0),
    persons   integer NOT NULL CHECK (persons BETWEEN 1 AND 1000),
    PRIMARY KEY (origin, component, hour_ms)
);
COMMENT ON TABLE report_origin IS 'How many persons of one network, desk or feed were counted about a service in an hour: bounded, so that whoever has many addresses does not count for many. Thrown away after a day.';
COMMENT ON COLUMN report_origin.origin IS 'Keyed hash of the network, desk or feed.';

CREATE TABLE refused_input (
    kind  text NOT NULL,
    hour_ms bigint NOT NULL,
    count bigint NOT NULL CHECK (count > 0),
    PRIMARY KEY (kind, hour_ms)
);
COMMENT ON TABLE refused_input IS 'What was not taken as evidence, counted: forged results, floods, posts that are about something else.';

-- Judgement

CREATE TABLE detector_state (
    series  text PRIMARY KEY,
    state   jsonb NOT NULL,
    upto_ms bigint NOT NULL
);
COMMENT ON TABLE detector_state IS 'Where each detector stands; written in the commit of the judgement, so that a killed process goes on where it was. The row `judge` says which tick was the last and whose it was: a tick is committed once, by one process.';

CREATE TABLE component_day (
    component text NOT NULL,
    day       date NOT NULL,
    worst     text NOT NULL CHECK (worst IN ('available', 'degraded', 'unavailable', 'maintenance', 'unknown')),
    measured  integer NOT NULL DEFAULT 0,
    good      integer NOT NULL DEFAULT 0,
    down      integer NOT NULL DEFAULT 0 CHECK (down BETWEEN 0 AND 1500),
    PRIMARY KEY (component, day),
    CHECK (good BETWEEN 0 AND measured AND measured <= 1500)
);
COMMENT ON TABLE component_day IS 'A day of a component in minutes: measured, good among them (fewer than 5 % technical failures), down (five requests in a row without a reply). Added to in the commit of the tick that closes a minute.';

CREATE TABLE judgement (
    seq    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms  bigint NOT NULL CONSTRAINT judgement_once UNIQUE,
    body   jsonb NOT NULL
);
COMMENT ON TABLE judgement IS 'Every change of what is held to be true about a component, with the evidence that it rests on.';

CREATE TABLE incident (
    id        uuid PRIMARY KEY,
    opened_ms bigint NOT NULL
);
COMMENT ON TABLE incident IS 'One cause, one incident; everything else about it is in its events.';

CREATE TABLE incident_event (
    incident uuid NOT NULL REFERENCES incident,
    number   integer NOT NULL CHECK (number > 0),
    at_ms    bigint NOT NULL,
    actor    text NOT NULL CHECK (actor <> ''),
    kind     text NOT NULL CHECK (kind IN ('opened', 'opened_by_hand', 'overran', 'localised', 'grew', 'updated',
        'relapsed', 'recovering', 'conditions', 'closed', 'acknowledged', 'words', 'corrected', 'merged',
        'said_resolved')),
    body     jsonb NOT NULL,
    act      uuid UNIQUE,
    PRIMARY KEY (incident, number),
    CONSTRAINT incident_event_form CHECK (CASE
        WHEN kind IN ('opened_by_hand', 'acknowledged', 'words', 'corrected', 'said_resolved') THEN actor <> 'rule' AND act IS NOT NULL
        WHEN kind = 'merged' THEN (actor = 'rule') = (act IS NULL)
        WHEN kind = 'grew' THEN act IS NULL
        ELSE actor = 'rule' AND act IS NULL END)
);
COMMENT ON TABLE incident_event IS 'What happened to an incident, in order, by rule or by an operator; the present state is folded from it.';
COMMENT ON COLUMN incident_event.actor IS '`rule`, or the operator''s name.';
CREATE INDEX incident_event_time ON incident_event (at_ms);
COMMENT ON COLUMN incident_event.act IS 'The form that an operator sent, so that one sent twice counts once; NULL for rules.';

CREATE TABLE open_cause (
    cause    text PRIMARY KEY,
    incident uuid NOT NULL UNIQUE REFERENCES incident
);
COMMENT ON TABLE open_cause IS 'The open incidents, one a cause; kept by the trigger on incident_event alone.';

CREATE TABLE maintenance (
    id         uuid PRIMARY KEY,
    from_ms    bigint NOT NULL,
    to_ms      bigint NOT NULL CHECK (to_ms > from_ms),
    components text[] NOT NULL CHECK (cardinality(components) > 0),
    words      jsonb NOT NULL,
    announced_ms bigint NOT NULL,
    announced_by text NOT NULL,
    cancelled_ms bigint
);
COMMENT ON TABLE maintenance IS 'Planned work; one that overruns becomes an incident by itself.';

CREATE TABLE publication (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms    bigint NOT NULL,
    content_sha256 bytea NOT NULL CHECK (octet_length(content_sha256) = 32),
    incidents jsonb NOT NULL,
    UNIQUE (at_ms, content_sha256)
);
COMMENT ON TABLE publication IS 'Every version of the status page that was swapped in, and which event of each incident it shows.';

CREATE TABLE statement_number (
    bank text PRIMARY KEY,
    seq  bigint NOT NULL CHECK (seq > 0)
);
COMMENT ON TABLE statement_number IS 'The last number of a corridor''s statements; raised before the statement leaves, so that no number is used twice.';

CREATE TABLE statement (
    bank      text NOT NULL,
    seq       bigint NOT NULL,
    issued_ms bigint NOT NULL,
    decision  text NOT NULL CHECK (decision IN ('OPEN', 'SLOW', 'HOLD', 'TRICKLE')),
    body      bytea NOT NULL,
    acknowledged_ms bigint,
    PRIMARY KEY (bank, seq)
);
COMMENT ON TABLE statement IS 'Statements with which a corridor''s decision changed; heartbeats between them are not kept.';
COMMENT ON COLUMN statement.acknowledged_ms IS 'When the bank first answered that it knows this number or a later one: it is warned since then.';

CREATE FUNCTION statement_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF TG_TABLE_NAME = 'statement_number' THEN
        IF NEW.bank <> OLD.bank OR NEW.seq <= OLD.seq THEN
            RAISE EXCEPTION 'numbers of statements only rise' USING ERRCODE = 'HK031';
        END IF;
    ELSIF OLD.acknowledged_ms IS NOT NULL OR (NEW.bank, NEW.seq, NEW.issued_ms, NEW.decision, NEW.body)
            IS DISTINCT FROM (OLD.bank, OLD.seq, OLD.issued_ms, OLD.decision, OLD.body) THEN
        RAISE EXCEPTION 'a statement stays as it was said' USING ERRCODE = 'HK032';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER statement_number_guard BEFORE UPDATE ON statement_number FOR EACH ROW EXECUTE FUNCTION statement_guard();
CREATE TRIGGER statement_guard BEFORE UPDATE ON statement FOR EACH ROW EXECUTE FUNCTION statement_guard();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HK001';
END $$;

CREATE FUNCTION incident_event_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
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
CREATE TRIGGER incident_event_guard BEFORE INSERT ON incident_event FOR EACH ROW EXECUTE FUNCTION incident_event_guard();

CREATE FUNCTION keep_open_cause() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
    IF NEW.kind IN ('opened', 'opened_by_hand', 'overran') THEN
        INSERT INTO open_cause VALUES (NEW.body ->> 'cause', NEW.incident);
    ELSIF NEW.kind = 'localised' THEN
        UPDATE open_cause SET cause = NEW.body ->> 'cause' WHERE incident = NEW.incident;
    ELSIF NEW.kind = 'relapsed' THEN
        INSERT INTO open_cause SELECT body ->> 'cause', incident FROM incident_event
            WHERE incident = NEW.incident AND body ? 'cause' ORDER BY number DESC LIMIT 1
            ON CONFLICT (incident) DO NOTHING;
    ELSIF NEW.kind IN ('closed', 'merged') THEN
        DELETE FROM open_cause WHERE incident = NEW.incident;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER incident_open_cause AFTER INSERT ON incident_event FOR EACH ROW EXECUTE FUNCTION keep_open_cause();

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

CREATE TRIGGER incident_append_only BEFORE UPDATE OR DELETE ON incident FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER incident_no_truncate BEFORE TRUNCATE ON incident EXECUTE FUNCTION refuse_change();
CREATE TRIGGER incident_event_append_only BEFORE UPDATE OR DELETE ON incident_event FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER incident_event_no_truncate BEFORE TRUNCATE ON incident_event EXECUTE FUNCTION refuse_change();
CREATE TRIGGER judgement_append_only BEFORE UPDATE OR DELETE ON judgement FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER judgement_no_truncate BEFORE TRUNCATE ON judgement EXECUTE FUNCTION refuse_change();
CREATE TRIGGER publication_append_only BEFORE UPDATE OR DELETE ON publication FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER publication_no_truncate BEFORE TRUNCATE ON publication EXECUTE FUNCTION refuse_change();
CREATE TRIGGER statement_no_delete BEFORE DELETE ON statement FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER statement_no_truncate BEFORE TRUNCATE ON statement EXECUTE FUNCTION refuse_change();
CREATE TRIGGER maintenance_no_delete BEFORE DELETE ON maintenance FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER maintenance_no_truncate BEFORE TRUNCATE ON maintenance EXECUTE FUNCTION refuse_change();

-- Least privilege: evidence may be thrown away when it is old, what was judged and said stays.

GRANT USAGE ON SCHEMA public TO hakika_health_app, hakika_health_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO hakika_health_app, hakika_health_reader;
GRANT USAGE ON SEQUENCE evidence_seq TO hakika_health_app;
GRANT INSERT, UPDATE ON signal_source TO hakika_health_app;
GRANT INSERT ON signal_interval, silence, probe_result, report, refused_input, detector_state, judgement, incident,
    incident_event, maintenance, publication TO hakika_health_app;
GRANT DELETE ON signal_interval, silence, probe_result, report, refused_input TO hakika_health_app;
GRANT UPDATE (count) ON refused_input TO hakika_health_app;
GRANT INSERT, DELETE, UPDATE (persons) ON report_origin TO hakika_health_app;
GRANT UPDATE (state, upto_ms) ON detector_state TO hakika_health_app;
GRANT INSERT, UPDATE (worst, measured, good, down) ON component_day TO hakika_health_app;
REVOKE EXECUTE ON FUNCTION incident_event_guard(), keep_open_cause() FROM PUBLIC;
GRANT UPDATE (cancelled_ms) ON maintenance TO hakika_health_app;
GRANT INSERT ON statement_number, statement TO hakika_health_app;
GRANT UPDATE (seq) ON statement_number TO hakika_health_app;
GRANT UPDATE (acknowledged_ms) ON statement TO hakika_health_app;
