-- What the public may see of all companies' trips, laid out for search. No personal data, and no
-- row-level security: operator_id is not company_id on purpose.

CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS unaccent;

-- A place's name without accents and case.
CREATE FUNCTION place_form(name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = public
    AS $$ SELECT lower(unaccent('unaccent', name)) $$;

CREATE TABLE search_stop (
    operator_id uuid NOT NULL,
    stop_code text NOT NULL,
    name text NOT NULL,
    form text NOT NULL,                    -- place_form of the name
    PRIMARY KEY (operator_id, stop_code)
);
CREATE INDEX search_stop_by_form ON search_stop USING gin (form gin_trgm_ops);
CREATE INDEX search_stop_by_code ON search_stop (lower(stop_code));

CREATE TABLE search_trip (
    trip_id bigint PRIMARY KEY,
    operator_id uuid NOT NULL,
    route_code text NOT NULL,
    route text NOT NULL,                   -- as on signs
    headsign text NOT NULL,
    seat_count integer NOT NULL,
    state text NOT NULL,
    delay_ms bigint NOT NULL,
    currency text NOT NULL,
    fare_table_id text NOT NULL
);

-- Where a trip calls.
CREATE TABLE search_call (
    trip_id bigint NOT NULL,
    seq smallint NOT NULL,                 -- place on the trip, from 0
    operator_id uuid NOT NULL,
    stop_code text NOT NULL,
    zone text NOT NULL,                    -- IANA name
    day date NOT NULL,                     -- of departure, there
    arrives_at_ms bigint NOT NULL,
    departs_at_ms bigint NOT NULL,
    closes_at_ms bigint NOT NULL,          -- boarding; 0 where nobody boards
    PRIMARY KEY (trip_id, seq)
);
CREATE INDEX search_call_by_stop ON search_call (stop_code, operator_id, day);

-- Trips whose rows here are behind. Written with the trip, emptied by whoever searches or sweeps.
CREATE TABLE search_dirty (
    trip_id bigint PRIMARY KEY,
    operator_id uuid NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE
    ON search_stop, search_trip, search_call, search_dirty TO mwimule_app;

CREATE FUNCTION project_stop() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM search_stop
        WHERE operator_id = OLD.company_id AND stop_code = OLD.stop_code;
    ELSE
        INSERT INTO search_stop (operator_id, stop_code, name, form)
        VALUES (NEW.company_id, NEW.stop_code, NEW.name, place_form(NEW.name))
        ON CONFLICT (operator_id, stop_code)
        DO UPDATE SET name = EXCLUDED.name, form = EXCLUDED.form;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER project_stop AFTER INSERT OR UPDATE OR DELETE ON stop
    FOR EACH ROW EXECUTE FUNCTION project_stop();

CREATE FUNCTION project_trip() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM search_call WHERE trip_id = OLD.trip_id;
        DELETE FROM search_trip WHERE trip_id = OLD.trip_id;
        DELETE FROM search_dirty WHERE trip_id = OLD.trip_id;
    ELSIF TG_OP = 'UPDATE' AND NEW.body = OLD.body AND NEW.route_code = OLD.route_code
        AND NEW.boarding_closes_ms = OLD.boarding_closes_ms THEN
        UPDATE search_trip SET state = NEW.state, delay_ms = NEW.delay_ms
        WHERE trip_id = NEW.trip_id AND (state, delay_ms) <> (NEW.state, NEW.delay_ms);
    ELSE
        INSERT INTO search_dirty (trip_id, operator_id) VALUES (NEW.trip_id, NEW.company_id)
        ON CONFLICT (trip_id) DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER project_trip AFTER INSERT OR UPDATE OR DELETE ON trip
    FOR EACH ROW EXECUTE FUNCTION project_trip();

-- What is there already.
ALTER TABLE stop NO FORCE ROW LEVEL SECURITY;
INSERT INTO search_stop (operator_id, stop_code, name, form)
SELECT company_id, stop_code, name, place_form(name) FROM stop;
ALTER TABLE stop FORCE ROW LEVEL SECURITY;
INSERT INTO search_dirty (trip_id, operator_id) SELECT trip_id, company_id FROM trip;

-- Seats of some trips that are taken on some legs. A number, and nothing else.
CREATE FUNCTION seats_taken(
    companies uuid[], trips bigint[], first_legs integer[], end_legs integer[]
)
    RETURNS TABLE (place bigint, taken bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$
    SELECT w.place, (
        SELECT count(DISTINCT x.seat) FROM (
            SELECT c.seat FROM claim c
            WHERE c.company_id = w.company AND c.trip_id = w.trip
                AND c.legs && int4range(w.a, w.b)
            UNION ALL
            SELECT k.seat FROM ticket k
            WHERE k.company_id = w.company AND k.trip_id = w.trip AND k.state = 0
                AND k.legs && int4range(w.a, w.b)
        ) x)
    FROM UNNEST(companies, trips, first_legs, end_legs) WITH ORDINALITY
        AS w(company, trip, a, b, place)
    $$;

-- What everybody may know of companies, and the version of their prices.
CREATE FUNCTION operators(wanted uuid[])
    RETURNS TABLE (operator_id uuid, name text, zone text, price_version bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$
    SELECT c.company_id, c.name, c.zone, COALESCE(p.version, 0)
    FROM company c LEFT JOIN price_version p USING (company_id)
    WHERE c.company_id = ANY(wanted)
    $$;

DO $$
DECLARE
    looked_up text;
BEGIN
    FOREACH looked_up IN ARRAY ARRAY['claim', 'ticket', 'price_version'] LOOP
        EXECUTE format(
            'CREATE POLICY owner_look_up ON %I FOR SELECT TO %I USING (true)', looked_up,
            current_user
        );
    END LOOP;
END
$$;

SELECT protect_tenant_tables();
