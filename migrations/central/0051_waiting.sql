-- Waiting for seats of a trip that is sold out.

-- A party in line. waiting: nothing is free yet. offered: seats are held for it. taken: it paid
-- for them. lapsed: it did not in time, or stopped wanting them. left: it was taken off the line.
-- closed: the trip is over, or sells no such journey any more.
CREATE TABLE waiting_entry (
    company_id uuid NOT NULL REFERENCES company,
    waiting_id uuid NOT NULL,
    arrival_no bigint GENERATED ALWAYS AS IDENTITY, -- the order of the line
    trip_id bigint NOT NULL,
    legs int4range NOT NULL,
    from_stop text NOT NULL,               -- its code
    to_stop text NOT NULL,
    classes smallint[] NOT NULL CHECK (cardinality(classes) BETWEEN 1 AND 10), -- one per seat
    state text NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'offered', 'taken', 'lapsed', 'left', 'closed')),
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32), -- of its token, and of its hold's
    contact_sealed bytea NOT NULL,         -- AEAD of name, phone, e-mail
    phone_blind bytea NOT NULL,            -- keyed hash, to find it by
    person_id uuid,                        -- the account that waits
    channel text NOT NULL CHECK (channel IN ('online', 'counter', 'partner')), -- of the price
    accept_until_ms bigint,                -- wants nothing any more then
    booking_id uuid,                       -- once offered: the hold
    reason text,                           -- why it was closed
    created_at_ms bigint NOT NULL,
    offered_at_ms bigint,
    ended_at_ms bigint,
    PRIMARY KEY (company_id, waiting_id),
    FOREIGN KEY (company_id, trip_id) REFERENCES trip (company_id, trip_id),
    FOREIGN KEY (company_id, booking_id) REFERENCES booking (company_id, booking_id)
);
CREATE INDEX waiting_entry_in_line ON waiting_entry (company_id, trip_id, arrival_no)
    WHERE state IN ('waiting', 'offered');
CREATE INDEX waiting_entry_by_trip ON waiting_entry (company_id, trip_id, arrival_no);
-- One contact waits once for the same journey.
CREATE UNIQUE INDEX waiting_entry_once ON waiting_entry (company_id, phone_blind, trip_id, legs)
    WHERE state IN ('waiting', 'offered');

-- The companies that somebody waits for, for the job that makes offers.
CREATE FUNCTION companies_waited_for() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT DISTINCT company_id FROM waiting_entry WHERE state IN ('waiting', 'offered') $$;

-- As before, and whether somebody waits for seats of the trip: those come first.
DROP FUNCTION trip_for_sale(uuid, bigint, boolean);
CREATE FUNCTION trip_for_sale(
    company uuid, wanted bigint, take_lock boolean,
    OUT row_version bigint, OUT trip_state text, OUT zone text, OUT price_version bigint,
    OUT taken integer[], OUT waited_for boolean
)
    LANGUAGE plpgsql VOLATILE
    AS $$
BEGIN
    IF take_lock THEN
        SELECT t.xmin::text::bigint, t.state INTO row_version, trip_state FROM trip t
        WHERE t.company_id = company AND t.trip_id = wanted FOR UPDATE;
    ELSE
        SELECT t.xmin::text::bigint, t.state INTO row_version, trip_state FROM trip t
        WHERE t.company_id = company AND t.trip_id = wanted;
    END IF;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT c.zone, p.version INTO zone, price_version
    FROM company c LEFT JOIN price_version p ON p.company_id = c.company_id
    WHERE c.company_id = company;
    SELECT COALESCE(array_agg(w.seat * 65536 + lower(w.legs) * 256 + upper(w.legs)), '{}'),
           EXISTS (SELECT FROM waiting_entry e
                   WHERE e.company_id = company AND e.trip_id = wanted AND e.state = 'waiting')
    INTO taken, waited_for
    FROM (
        SELECT c.seat, c.legs FROM claim c WHERE c.company_id = company AND c.trip_id = wanted
        UNION ALL
        SELECT k.seat, k.legs FROM ticket k
        WHERE k.company_id = company AND k.trip_id = wanted AND k.state = 0
    ) w;
END
$$;

SELECT protect_tenant_tables();

DO $$
BEGIN
    EXECUTE format(
        'CREATE POLICY owner_look_up ON waiting_entry FOR SELECT TO %I USING (true)', current_user
    );
END
$$;
