-- The hub's truth. Every tenant table leads its key with company_id and forces row-level
-- security; the app role mwimule_app owns nothing and cannot bypass it.
--
-- Times of the wire are bigint milliseconds since 1970-01-01T00:00:00Z and end in _ms.
-- Money is bigint minor units and ends in _minor.

CREATE EXTENSION IF NOT EXISTS btree_gist;

-- Which company a transaction works for; set by the hub with set_config(..., true).
CREATE FUNCTION current_company() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('mwimule.company', true), '')::uuid $$;

CREATE TABLE company (
    company_id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    zone text NOT NULL,                    -- IANA name, for business dates of the office
    currency text NOT NULL CHECK (length(currency) = 3),
    created_at_ms bigint NOT NULL
);

-- A bearer token of the office; only its SHA-256 is kept.
CREATE TABLE api_token (
    company_id uuid NOT NULL REFERENCES company,
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    name text NOT NULL,
    created_at_ms bigint NOT NULL,
    revoked_at_ms bigint,
    PRIMARY KEY (company_id, token_hash)
);

-- A device. Its private keys never leave it.
CREATE TABLE node (
    company_id uuid NOT NULL REFERENCES company,
    node_id uuid NOT NULL UNIQUE,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('station', 'onboard')),
    stop_code text,                        -- a station's own stop
    event_key bytea CHECK (length(event_key) = 32),   -- Ed25519 public, signs its log
    ticket_key bytea CHECK (length(ticket_key) = 32), -- Ed25519 public, signs its tickets
    highest_incarnation integer NOT NULL DEFAULT 1,   -- the highest the hub ever gave it
    frozen boolean NOT NULL DEFAULT false, -- its log forked: no new rights
    revoked boolean NOT NULL DEFAULT false,
    enrolled_at_ms bigint,
    last_contact_ms bigint,
    told_last_seq bigint NOT NULL DEFAULT 0, -- the last position its latest hello named
    PRIMARY KEY (company_id, node_id),
    CHECK (kind <> 'station' OR stop_code IS NOT NULL)
);

-- A one-use code that lets a device in; only the SHA-256 of its secret is kept.
CREATE TABLE enrolment_code (
    company_id uuid NOT NULL REFERENCES company,
    secret_hash bytea NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    node_id uuid NOT NULL,
    expires_at_ms bigint NOT NULL,
    used_at_ms bigint,
    PRIMARY KEY (company_id, secret_hash)
);

CREATE TABLE stop (
    company_id uuid NOT NULL REFERENCES company,
    stop_code text NOT NULL,
    name text NOT NULL,
    lat double precision,                  -- degrees WGS 84
    lon double precision,
    fare_zone text NOT NULL,
    zone text NOT NULL,                    -- IANA name
    PRIMARY KEY (company_id, stop_code)
);

CREATE TABLE seat_layout (
    company_id uuid NOT NULL REFERENCES company,
    layout_id text NOT NULL,
    version integer NOT NULL,
    seat_count integer NOT NULL CHECK (seat_count BETWEEN 1 AND 500),
    body bytea NOT NULL,                   -- CBOR of domain's SeatLayout
    PRIMARY KEY (company_id, layout_id, version)
);

CREATE TABLE fare_table (
    company_id uuid NOT NULL REFERENCES company,
    fare_table_id text NOT NULL,
    currency text NOT NULL,
    body bytea NOT NULL,                   -- CBOR of domain's FareTable
    PRIMARY KEY (company_id, fare_table_id)
);

CREATE TABLE route (
    company_id uuid NOT NULL REFERENCES company,
    route_code text NOT NULL,
    name text NOT NULL,
    layout_id text NOT NULL,
    fare_table_id text NOT NULL,
    PRIMARY KEY (company_id, route_code)
);

-- One run of a pattern on a service date; the natural key makes a re-import an update.
CREATE TABLE trip (
    company_id uuid NOT NULL REFERENCES company,
    trip_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    pattern_key text NOT NULL,
    service_date date NOT NULL,
    run text NOT NULL,
    route_code text NOT NULL,
    headsign text NOT NULL,
    seat_count integer NOT NULL,
    leg_count integer NOT NULL CHECK (leg_count BETWEEN 1 AND 64),
    layout_version integer NOT NULL,
    departs_at_ms bigint NOT NULL,         -- from its first stop
    boarding_closes_ms bigint[] NOT NULL,  -- per stop
    onboard_node uuid,                     -- the named validator of the trip
    body bytea NOT NULL,                   -- CBOR of domain's Trip
    PRIMARY KEY (company_id, trip_id),
    UNIQUE (company_id, pattern_key, service_date, run)
);
CREATE INDEX trip_by_departure ON trip (company_id, departs_at_ms);

-- A grant: immutable but for its status. 0 offered, 1 accepted, 2 closed.
CREATE TABLE lease (
    company_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    node_id uuid NOT NULL,
    lease_no integer NOT NULL,
    epoch bigint NOT NULL,
    request_id uuid NOT NULL,
    status smallint NOT NULL DEFAULT 0 CHECK (status BETWEEN 0 AND 2),
    granted bytea NOT NULL,                -- CBOR of domain's Grant
    signed bytea NOT NULL,                 -- CBOR of domain's SignedGrant
    granted_at_ms bigint NOT NULL,
    closed_at_ms bigint,
    PRIMARY KEY (company_id, trip_id, node_id, lease_no),
    UNIQUE (company_id, node_id, request_id),
    UNIQUE (company_id, trip_id, epoch),
    FOREIGN KEY (company_id, trip_id) REFERENCES trip (company_id, trip_id),
    FOREIGN KEY (company_id, node_id) REFERENCES node
);

-- Who owns a seat-leg that the pool does not. The pool is what no claim and no live ticket covers.
CREATE TABLE claim (
    company_id uuid NOT NULL,
    claim_id bigint GENERATED ALWAYS AS IDENTITY,
    trip_id bigint NOT NULL,
    seat integer NOT NULL,
    legs int4range NOT NULL,
    kind text NOT NULL CHECK (kind IN ('lease', 'hold', 'block')),
    node_id uuid,                          -- of a lease
    lease_no integer,                      -- of a lease
    waits_for_change bigint,               -- of a block: freed once the onboard node applied it
    PRIMARY KEY (company_id, claim_id),
    CONSTRAINT claim_no_overlap EXCLUDE USING gist (trip_id WITH =, seat WITH =, legs WITH &&)
);
CREATE INDEX claim_by_lease ON claim (company_id, trip_id, node_id, lease_no);

-- Tickets of nodes and of the hub. 0 live, 1 void, 2 disputed; 0 ed25519, 1 hmac256.
-- No foreign key: ingest checks trip and lease, and a check per row would lock the trip's row.
CREATE TABLE ticket (
    company_id uuid NOT NULL,
    ticket_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    seat integer NOT NULL,
    legs int4range NOT NULL,
    class smallint NOT NULL,
    ordinal integer NOT NULL,
    issuer_node uuid,                      -- null: the hub
    lease_no integer,
    epoch bigint,
    layout_version integer NOT NULL,
    issued_at_ms bigint NOT NULL,
    kid bytea NOT NULL,
    suite smallint NOT NULL,
    tag bytea NOT NULL,                    -- signature or MAC; with the rest it makes the QR again
    fare_minor bigint NOT NULL,
    currency text NOT NULL,
    shift integer,                         -- of the issuing node
    booking_id uuid,                       -- of the hub's own
    test boolean NOT NULL DEFAULT false,
    state smallint NOT NULL CHECK (state BETWEEN 0 AND 2),
    change_no bigint NOT NULL,             -- in the trip's bucket
    PRIMARY KEY (company_id, ticket_id),
    CONSTRAINT ticket_no_overlap
        EXCLUDE USING gist (trip_id WITH =, seat WITH =, legs WITH &&) WHERE (state = 0)
);
CREATE INDEX ticket_by_change ON ticket (company_id, trip_id, change_no);

-- How far each installation's log is stored and judged: contiguous prefixes.
CREATE TABLE node_log (
    company_id uuid NOT NULL,
    node_id uuid NOT NULL,
    incarnation integer NOT NULL,
    stored_seq bigint NOT NULL DEFAULT 0,
    stored_hash bytea NOT NULL,            -- of the event there; 32 zero bytes when empty
    judged_seq bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (company_id, node_id, incarnation)
);

-- Every event as signed. The previous hash is the hash of the row before.
CREATE TABLE event (
    company_id uuid NOT NULL,
    node_id uuid NOT NULL,
    incarnation integer NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    at_ms bigint NOT NULL,                 -- by the node's clock
    received_at_ms bigint NOT NULL,
    personal_hash bytea,
    body bytea NOT NULL,
    signature bytea NOT NULL,
    PRIMARY KEY (company_id, node_id, incarnation, seq)
);

-- Names and phone numbers beside their event; erasable without breaking the chain.
CREATE TABLE event_personal (
    company_id uuid NOT NULL,
    node_id uuid NOT NULL,
    incarnation integer NOT NULL,
    seq bigint NOT NULL,
    blob bytea NOT NULL,
    PRIMARY KEY (company_id, node_id, incarnation, seq)
);

-- Verdicts other than applied; what is judged and not here was applied.
CREATE TABLE event_verdict (
    company_id uuid NOT NULL,
    node_id uuid NOT NULL,
    incarnation integer NOT NULL,
    seq bigint NOT NULL,
    reason text NOT NULL,                  -- domain's QuarantineReason code
    detail text,
    PRIMARY KEY (company_id, node_id, incarnation, seq)
);

-- The second history of a position. Quarantined whole; its money stands in suspense.
CREATE TABLE fork_event (
    company_id uuid NOT NULL,
    node_id uuid NOT NULL,
    incarnation integer NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    prev bytea NOT NULL,
    at_ms bigint NOT NULL,
    received_at_ms bigint NOT NULL,
    personal_hash bytea,
    body bytea NOT NULL,
    signature bytea NOT NULL,
    personal_blob bytea,                   -- beside it, erasable
    judged boolean NOT NULL DEFAULT false, -- its money stands in suspense
    PRIMARY KEY (company_id, node_id, incarnation, seq, hash)
);
CREATE INDEX fork_event_unjudged ON fork_event (company_id, node_id, incarnation) WHERE NOT judged;

CREATE TABLE conflict_case (
    company_id uuid NOT NULL,
    case_id bigint GENERATED ALWAYS AS IDENTITY,
    node_id uuid NOT NULL,
    incarnation integer NOT NULL,
    seq bigint NOT NULL,
    reason text NOT NULL,
    tickets uuid[] NOT NULL,
    against uuid[] NOT NULL,
    opened_at_ms bigint NOT NULL,
    closed_at_ms bigint,
    PRIMARY KEY (company_id, case_id)
);

CREATE TABLE shift (
    company_id uuid NOT NULL,
    node_id uuid NOT NULL,
    shift integer NOT NULL,
    agent text NOT NULL,
    currency text NOT NULL,
    business_date date NOT NULL,
    float_minor bigint NOT NULL,
    cash_minor bigint NOT NULL,            -- taken less returned, without the float
    opened_at_ms bigint NOT NULL,
    closed_at_ms bigint,
    declared_minor bigint,                 -- counted, float included
    expected_minor bigint,                 -- at close, float included
    PRIMARY KEY (company_id, node_id, shift)
);

CREATE TABLE scan (
    company_id uuid NOT NULL,
    node_id uuid NOT NULL,
    incarnation integer NOT NULL,
    seq bigint NOT NULL,
    trip_id bigint NOT NULL,
    ticket_id uuid,
    answer text NOT NULL,
    code text,                             -- as scanned, where the hub may not know the ticket
    at_ms bigint NOT NULL,
    PRIMARY KEY (company_id, node_id, incarnation, seq)
);
CREATE INDEX scan_by_trip ON scan (company_id, trip_id);

CREATE TABLE ledger_account (
    company_id uuid NOT NULL REFERENCES company,
    account_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    kind text NOT NULL,
    node_id uuid,
    shift integer,
    trip_id bigint,
    currency text NOT NULL,
    PRIMARY KEY (company_id, account_id),
    UNIQUE NULLS NOT DISTINCT (company_id, kind, node_id, shift, trip_id, currency)
);

-- An entry is immutable. Its id is the first half of the event's hash, or the booking's id:
-- posting it twice is impossible.
CREATE TABLE ledger_entry (
    company_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    kind text NOT NULL,
    currency text NOT NULL,
    business_date date NOT NULL,
    posted_at_ms bigint NOT NULL,
    PRIMARY KEY (company_id, entry_id)
);

-- Debit positive, credit negative; the lines of an entry sum to zero.
CREATE TABLE ledger_posting (
    company_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    line smallint NOT NULL,
    account_id bigint NOT NULL,
    amount_minor bigint NOT NULL,
    ticket_id uuid,
    kind text NOT NULL,                    -- the entry's
    PRIMARY KEY (company_id, entry_id, line)
);
CREATE UNIQUE INDEX ledger_ticket_once
    ON ledger_posting (company_id, ticket_id, kind) WHERE ticket_id IS NOT NULL;
CREATE INDEX ledger_by_account ON ledger_posting (company_id, account_id);

CREATE TABLE booking (
    company_id uuid NOT NULL REFERENCES company,
    booking_id uuid NOT NULL,
    reference text NOT NULL,               -- what the customer is told
    trip_id bigint NOT NULL,
    contact_name text NOT NULL,
    contact_phone text NOT NULL,
    total_minor bigint NOT NULL,
    currency text NOT NULL,
    created_at_ms bigint NOT NULL,
    PRIMARY KEY (company_id, booking_id),
    UNIQUE (company_id, reference)
);

-- The permanent record of a request that moved money or seats, written in its transaction.
CREATE TABLE idempotency (
    company_id uuid NOT NULL REFERENCES company,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint bytea NOT NULL,            -- SHA-256 of method, path and body
    status smallint NOT NULL,              -- HTTP
    content_type text NOT NULL,
    response bytea NOT NULL,
    created_at_ms bigint NOT NULL,
    PRIMARY KEY (company_id, key)
);

-- Change logs. A change number is taken under the bucket row's lock, held to the commit, so
-- that no reader skips one that commits late.
CREATE TABLE bucket (
    company_id uuid NOT NULL REFERENCES company,
    name text NOT NULL,
    last_change bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (company_id, name)
);

-- The facts of a bucket but for a trip's tickets, which are read from ticket by change_no.
-- A fact that is published again moves to the end.
CREATE TABLE bucket_item (
    company_id uuid NOT NULL,
    bucket text NOT NULL,
    item_key text NOT NULL,
    change_no bigint NOT NULL,
    item bytea NOT NULL,                   -- CBOR of sync-protocol's Item
    PRIMARY KEY (company_id, bucket, item_key),
    FOREIGN KEY (company_id, bucket) REFERENCES bucket
);
CREATE INDEX bucket_item_by_change ON bucket_item (company_id, bucket, change_no);

-- How far a node has applied a bucket; what blocked seats wait for.
CREATE TABLE bucket_ack (
    company_id uuid NOT NULL,
    node_id uuid NOT NULL,
    bucket text NOT NULL,
    change_no bigint NOT NULL,
    PRIMARY KEY (company_id, node_id, bucket)
);

-- The hub's own settings, not a tenant's: its incarnation.
CREATE TABLE hub (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    incarnation integer NOT NULL DEFAULT 1
);
INSERT INTO hub DEFAULT VALUES;

-- Look-ups that must happen before the company is known. Each gives away one id for one secret
-- or public number, and nothing else.
CREATE FUNCTION company_of_token(hash bytea) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id FROM api_token WHERE token_hash = hash AND revoked_at_ms IS NULL $$;
CREATE FUNCTION company_of_node(id uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id FROM node WHERE node_id = id $$;
CREATE FUNCTION company_of_code(hash bytea) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id FROM enrolment_code WHERE secret_hash = hash $$;
CREATE FUNCTION company_of_trip(id bigint) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id FROM trip WHERE trip_id = id $$;
CREATE FUNCTION company_by_name(wanted text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id FROM company WHERE name = wanted $$;
CREATE FUNCTION all_companies() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id FROM company ORDER BY name $$;

-- The role the hub works under once connected: it sees one company at a time.
DO $$
BEGIN
    -- The role belongs to the whole server: another database may be making it this moment.
    BEGIN
        CREATE ROLE mwimule_app NOLOGIN NOBYPASSRLS;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
    END;
    IF NOT pg_has_role(current_user, 'mwimule_app', 'MEMBER') THEN
        EXECUTE format('GRANT mwimule_app TO %I', current_user);
    END IF;
END
$$;
GRANT USAGE ON SCHEMA public TO mwimule_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO mwimule_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO mwimule_app;

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOR tenant_table IN
        SELECT c.relname FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id'
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        -- The sub-select is evaluated once a statement, not once a row.
        EXECUTE format(
            'CREATE POLICY tenant ON %I USING (company_id = (SELECT current_company()))'
            ' WITH CHECK (company_id = (SELECT current_company()))',
            tenant_table
        );
    END LOOP;
END
$$;

-- The look-up functions above run as the owner, which row-level security binds too.
DO $$
DECLARE
    looked_up text;
BEGIN
    FOREACH looked_up IN ARRAY ARRAY['company', 'api_token', 'node', 'enrolment_code', 'trip'] LOOP
        EXECUTE format(
            'CREATE POLICY owner_look_up ON %I FOR SELECT TO %I USING (true)', looked_up, current_user
        );
    END LOOP;
END
$$;
