-- A trip whose pool is frozen after a restore is found, and said to be sold later.

ALTER TABLE search_trip ADD COLUMN frozen boolean NOT NULL DEFAULT false;

CREATE OR REPLACE FUNCTION project_trip() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM search_call WHERE trip_id = OLD.trip_id;
        DELETE FROM search_trip WHERE trip_id = OLD.trip_id;
        DELETE FROM search_dirty WHERE trip_id = OLD.trip_id;
    ELSIF TG_OP = 'UPDATE' AND NEW.body = OLD.body AND NEW.route_code = OLD.route_code
        AND NEW.boarding_closes_ms = OLD.boarding_closes_ms THEN
        UPDATE search_trip
        SET state = NEW.state, delay_ms = NEW.delay_ms, frozen = NEW.frozen_by IS NOT NULL
        WHERE trip_id = NEW.trip_id
            AND (state, delay_ms, frozen)
                <> (NEW.state, NEW.delay_ms, NEW.frozen_by IS NOT NULL);
    ELSE
        INSERT INTO search_dirty (trip_id, operator_id) VALUES (NEW.trip_id, NEW.company_id)
        ON CONFLICT (trip_id) DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;

-- What is frozen already.
ALTER TABLE trip NO FORCE ROW LEVEL SECURITY;
UPDATE search_trip s SET frozen = true
FROM trip t WHERE t.trip_id = s.trip_id AND t.frozen_by IS NOT NULL;
ALTER TABLE trip FORCE ROW LEVEL SECURITY;
