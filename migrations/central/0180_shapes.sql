-- The real road of a stop sequence, along which its buses are followed.

CREATE TABLE pattern_shape (
    company_id uuid NOT NULL,
    pattern_key text NOT NULL,             -- of the route and its stops in order, as a feed's trips have it
    route_code text NOT NULL,
    line text NOT NULL                     -- encoded polyline, five decimals; empty: taken away
        CHECK (length(line) <= 400000),
    stop_along_m integer[] NOT NULL,       -- per stop, metres along the line; null: no place known
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, pattern_key),
    FOREIGN KEY (company_id, route_code) REFERENCES route ON DELETE CASCADE
);
CREATE INDEX pattern_shape_by_route ON pattern_shape (company_id, route_code);

SELECT protect_tenant_tables();
