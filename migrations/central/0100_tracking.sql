-- Where buses are: history by day, how each trip stands, calls seen, links for the public.

-- Every fix that counted, once. No reference to the trip: a fix never waits for who sells seats.
CREATE TABLE trip_position (
    company_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    at_ms bigint NOT NULL,                 -- by the device's clock
    seq bigint NOT NULL,                   -- the device's own count
    source smallint NOT NULL,              -- 0 receiver, 1 phone, 2 simulated
    lat_e7 integer NOT NULL,               -- ten-millionths of a degree WGS 84
    lon_e7 integer NOT NULL,
    speed_cm_s integer,
    bearing_deg smallint,                  -- clockwise from north
    accuracy_m integer,
    heard_at_ms bigint NOT NULL,           -- when the hub heard of it
    PRIMARY KEY (company_id, trip_id, at_ms, seq, source)
) PARTITION BY RANGE (at_ms);
-- What no day was made for in time.
CREATE TABLE trip_position_rest PARTITION OF trip_position DEFAULT;

-- How a trip stands by its newest fix.
CREATE TABLE trip_track (
    company_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    at_ms bigint NOT NULL,                 -- of the newest fix, by the device's clock
    seq bigint NOT NULL,                   -- of the newest fix
    heard_at_ms bigint NOT NULL,           -- when the hub heard of it
    track bytea NOT NULL,                  -- CBOR: the fix, the progress, the fences
    PRIMARY KEY (company_id, trip_id),
    FOREIGN KEY (company_id, trip_id) REFERENCES trip (company_id, trip_id)
);

-- Arrivals and departures as fixes show them. They report; they move no trip.
CREATE TABLE trip_call (
    company_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    stop_seq smallint NOT NULL,            -- from 0
    arrived_at_ms bigint,
    left_at_ms bigint,
    PRIMARY KEY (company_id, trip_id, stop_seq),
    FOREIGN KEY (company_id, trip_id) REFERENCES trip (company_id, trip_id)
);

-- How long a leg took lately.
CREATE TABLE leg_time (
    company_id uuid NOT NULL REFERENCES company,
    route_code text NOT NULL,
    from_stop text NOT NULL,               -- its code
    to_stop text NOT NULL,
    mean_ms bigint NOT NULL,
    drives integer NOT NULL,               -- of how many
    PRIMARY KEY (company_id, route_code, from_stop, to_stop)
);

-- A link that shows one trip to who has it.
CREATE TABLE tracking_link (
    company_id uuid NOT NULL,
    link_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    expires_at_ms bigint NOT NULL,
    revoked_at_ms bigint,
    created_at_ms bigint NOT NULL,
    actor_id uuid,                         -- who made it
    PRIMARY KEY (company_id, link_id),
    FOREIGN KEY (company_id, trip_id) REFERENCES trip (company_id, trip_id)
);
CREATE INDEX tracking_link_by_trip ON tracking_link (company_id, trip_id, link_id);

-- How a company follows its buses; without a row by the defaults.
CREATE TABLE tracking_settings (
    company_id uuid PRIMARY KEY REFERENCES company,
    before_min integer NOT NULL DEFAULT 60 CHECK (before_min BETWEEN 0 AND 10080),
    keep_days integer NOT NULL DEFAULT 30 CHECK (keep_days BETWEEN 1 AND 400),
    moves_trips boolean NOT NULL DEFAULT false,
    publish_positions boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1
);

SELECT protect_tenant_tables();

-- The owner, who makes and drops days, sees what no day was made for.
DO $$
BEGIN
    EXECUTE format('CREATE POLICY owner_days ON trip_position_rest TO %I USING (true)', current_user);
    EXECUTE format(
        'CREATE POLICY owner_look_up ON tracking_settings FOR SELECT TO %I USING (true)', current_user
    );
END
$$;

-- Makes the partition of a day, counted from 1970-01-01, unless it is there.
CREATE FUNCTION make_position_day(day_no bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public
    AS $$
DECLARE
    part text := 'trip_position_d' || day_no;
    begins bigint := day_no * 86400000;
BEGIN
    IF day_no NOT BETWEEN 10000 AND 100000 OR to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('trip_position'));
    IF to_regclass(part) IS NOT NULL OR EXISTS (
        SELECT FROM trip_position_rest WHERE at_ms >= begins AND at_ms < begins + 86400000
    ) THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I PARTITION OF trip_position FOR VALUES FROM (%s) TO (%s)',
        part, begins, begins + 86400000
    );
    PERFORM protect_tenant_tables();
END
$$;

-- Drops the days before one, as long as any company wants to keep them; gives how many.
CREATE FUNCTION drop_position_days(before_day bigint) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public
    AS $$
DECLARE
    part text;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('trip_position'));
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'trip_position'::regclass AND c.relname ~ '^trip_position_d[0-9]+$'
            AND substr(c.relname, 16)::bigint < before_day
    LOOP
        EXECUTE format('DROP TABLE %I', part);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM trip_position_rest WHERE at_ms < before_day * 86400000;
    RETURN dropped;
END
$$;

-- For how many days some company keeps fixes; at least the default.
CREATE FUNCTION position_days_kept() RETURNS integer
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT GREATEST(30, COALESCE(max(keep_days), 0)) FROM tracking_settings $$;

SELECT protect_tenant_tables();
