-- The day's work: schedules, what happened to trips, buses and crews on them.

-- A weekly rule. Its trips are (schedule, service date, run), stable over changes of the rule.
CREATE TABLE schedule (
    company_id uuid NOT NULL REFERENCES company,
    schedule_code text NOT NULL,
    route_code text NOT NULL,
    run text NOT NULL,                     -- what the run is called; the same every day
    headsign text NOT NULL DEFAULT '',     -- empty: the last stop's name
    departs_s integer NOT NULL CHECK (departs_s BETWEEN 0 AND 86399), -- local, at the first stop
    weekdays smallint[] NOT NULL,          -- 1 Monday to 7 Sunday
    valid_from date,                       -- first service day; null: always
    valid_until date,                      -- last service day
    layout_id text,                        -- null: the route's
    registration text,                     -- the bus that runs it, whose layout counts
    active boolean NOT NULL DEFAULT true,
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, schedule_code),
    FOREIGN KEY (company_id, route_code) REFERENCES route (company_id, route_code),
    CHECK (valid_from <= valid_until)
);
CREATE INDEX schedule_by_route ON schedule (company_id, route_code);

-- A day on which a rule does something else.
CREATE TABLE schedule_exception (
    company_id uuid NOT NULL,
    schedule_code text NOT NULL,
    on_date date NOT NULL,
    change text NOT NULL CHECK (change IN ('added', 'removed', 'moved')),
    departs_s integer CHECK (departs_s BETWEEN 0 AND 86399), -- of added where it differs; of moved
    PRIMARY KEY (company_id, schedule_code, on_date),
    FOREIGN KEY (company_id, schedule_code) REFERENCES schedule ON DELETE CASCADE,
    CHECK (change <> 'moved' OR departs_s IS NOT NULL),
    CHECK (change <> 'removed' OR departs_s IS NULL)
);

ALTER TABLE trip
    ADD schedule_code text,                -- the rule it comes from; null: imported
    ADD withdrawn boolean NOT NULL DEFAULT false, -- cancelled because its rule dropped it unsold
    ADD state_reason text,                 -- why it is late or cancelled, for passengers
    ADD departed_at_ms bigint,             -- as it happened
    ADD arrived_at_ms bigint;              -- as it happened
CREATE INDEX trip_by_schedule ON trip (company_id, schedule_code, service_date)
    WHERE schedule_code IS NOT NULL;
CREATE INDEX trip_to_depart ON trip (company_id, departs_at_ms)
    WHERE state IN ('scheduled', 'boarding');

-- What happened to a trip, in order. Append only.
CREATE TABLE trip_event (
    company_id uuid NOT NULL,
    event_no bigint GENERATED ALWAYS AS IDENTITY,
    trip_id bigint NOT NULL,
    kind text NOT NULL,                    -- boarding, departed, arrived, cancelled, delayed
    at_ms bigint NOT NULL,                 -- when it happened
    noted_at_ms bigint NOT NULL,           -- when the hub heard of it
    actor_kind text NOT NULL,              -- as audit_log's
    actor_id uuid,
    body jsonb NOT NULL,
    PRIMARY KEY (company_id, event_no),
    FOREIGN KEY (company_id, trip_id) REFERENCES trip (company_id, trip_id)
);
CREATE INDEX trip_event_by_trip ON trip_event (company_id, trip_id, event_no);

-- The bus of a trip, for the time that the timetable gives it.
CREATE TABLE trip_bus (
    company_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    registration text NOT NULL,
    busy int8range NOT NULL,               -- ms, from the first departure to the last arrival
    PRIMARY KEY (company_id, trip_id),
    FOREIGN KEY (company_id, trip_id) REFERENCES trip (company_id, trip_id),
    FOREIGN KEY (company_id, registration) REFERENCES bus (company_id, registration),
    CONSTRAINT bus_in_one_place
        EXCLUDE USING gist (company_id WITH =, registration WITH =, busy WITH &&)
);

-- Who works on a trip, for the time that the timetable gives it.
CREATE TABLE trip_crew (
    company_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    person_id uuid NOT NULL,
    role text NOT NULL CHECK (role IN ('driver', 'conductor')),
    busy int8range NOT NULL,               -- ms, from the first departure to the last arrival
    PRIMARY KEY (company_id, trip_id, person_id),
    FOREIGN KEY (company_id, trip_id) REFERENCES trip (company_id, trip_id),
    CONSTRAINT crew_in_one_place
        EXCLUDE USING gist (company_id WITH =, person_id WITH =, busy WITH &&)
);

-- How a company runs its day; a company without a row runs it by the defaults.
CREATE TABLE operations_settings (
    company_id uuid PRIMARY KEY REFERENCES company,
    driving_day_ms_max bigint NOT NULL DEFAULT 32400000,   -- 9 h
    driving_week_ms_max bigint NOT NULL DEFAULT 201600000, -- 56 h, Monday to Sunday
    rest_ms_min bigint NOT NULL DEFAULT 39600000,          -- 11 h between two days' work
    departs_by_itself_ms bigint NOT NULL DEFAULT 1800000,  -- after departure and delay
    expand_days smallint NOT NULL DEFAULT 14 CHECK (expand_days BETWEEN 1 AND 120),
    version integer NOT NULL DEFAULT 1
);

SELECT protect_tenant_tables();
REVOKE UPDATE, DELETE, TRUNCATE ON trip_event FROM mwimule_app;
