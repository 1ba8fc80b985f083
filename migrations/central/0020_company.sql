-- What a company's office looks after: itself, its places, its fleet and its routes.

ALTER TABLE company
    ADD language text NOT NULL DEFAULT 'en', -- BCP 47, of what it prints and publishes
    ADD contact_email text NOT NULL DEFAULT '',
    ADD contact_phone text NOT NULL DEFAULT '', -- E.164
    ADD address text NOT NULL DEFAULT '',
    ADD website text NOT NULL DEFAULT '',
    ADD timetable_zone text,               -- IANA, of its service days; null: the office's
    ADD version integer NOT NULL DEFAULT 1;

ALTER TABLE stop ADD version integer NOT NULL DEFAULT 1;

ALTER TABLE route
    ADD short_name text NOT NULL DEFAULT '', -- on signs; empty: the code
    ADD route_type integer NOT NULL DEFAULT 3, -- GTFS
    ADD colour text,                       -- six hexadecimal digits
    ADD version integer NOT NULL DEFAULT 1;

ALTER TABLE seat_layout
    ADD deck_rows integer[] NOT NULL DEFAULT '{}'; -- the first row of each deck above the lowest

-- What is still to run on a route, for those who want to change or delete it.
CREATE INDEX trip_by_route ON trip (company_id, route_code, departs_at_ms);

-- The stops of a route in order, with how long a bus takes.
CREATE TABLE route_stop (
    company_id uuid NOT NULL,
    route_code text NOT NULL,
    stop_no smallint NOT NULL CHECK (stop_no BETWEEN 0 AND 64), -- from 0
    stop_code text NOT NULL,
    arrives_s integer NOT NULL CHECK (arrives_s >= 0), -- after the departure from the first stop
    departs_s integer NOT NULL CHECK (departs_s >= arrives_s),
    board boolean NOT NULL DEFAULT true,   -- passengers may get on
    PRIMARY KEY (company_id, route_code, stop_no),
    FOREIGN KEY (company_id, route_code) REFERENCES route ON DELETE CASCADE,
    FOREIGN KEY (company_id, stop_code) REFERENCES stop
);
CREATE INDEX route_stop_by_stop ON route_stop (company_id, stop_code);

-- Where people sell.
CREATE TABLE station (
    company_id uuid NOT NULL REFERENCES company,
    station_code text NOT NULL,
    name text NOT NULL,
    stop_code text NOT NULL,               -- where its passengers board
    address text NOT NULL DEFAULT '',
    phone text NOT NULL DEFAULT '',        -- E.164
    opening_hours text NOT NULL DEFAULT '', -- like Mo-Fr 06:00-20:00; Sa 07:00-13:00
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, station_code),
    FOREIGN KEY (company_id, stop_code) REFERENCES stop
);
CREATE INDEX station_by_stop ON station (company_id, stop_code);

-- The fleet.
CREATE TABLE bus (
    company_id uuid NOT NULL REFERENCES company,
    registration text NOT NULL,            -- capitals, single blanks
    layout_id text NOT NULL,               -- of its seats; the newest version
    year integer,                          -- built
    state text NOT NULL DEFAULT 'in_service'
        CHECK (state IN ('in_service', 'workshop', 'retired')),
    wheelchair_lift boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, registration)
);

SELECT protect_tenant_tables();
