-- A trip goes on in another bus, whose seats are numbered otherwise.

ALTER TABLE trip ADD swaps smallint NOT NULL DEFAULT 0; -- swaps of its bus so far; the maps stand in body

-- `seat` is numbered as today and 0 where the bus has no place; this is what the ticket itself
-- says, where that differs.
ALTER TABLE ticket ADD printed_seat integer;

-- What was done to a trip's bus, in order.
CREATE TABLE trip_swap (
    company_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    swap_no smallint NOT NULL CHECK (swap_no > 0),
    numbering integer NOT NULL,            -- the layout version of tickets and leases from here on
    old_layout_id text NOT NULL,           -- of the bus before
    old_layout_version integer NOT NULL,
    new_layout_id text NOT NULL,           -- of the bus after
    new_layout_version integer NOT NULL,
    old_bus text,                          -- registration, where one was named
    new_bus text,
    undoes smallint,                       -- the swap that it takes back
    undone_by smallint,                    -- the swap that took it back
    lost_claims jsonb NOT NULL,            -- rights whose seats had no place: [{node, lease, seat, from, to}]
    actor_kind text NOT NULL,              -- as audit_log's
    actor_id uuid,
    at_ms bigint NOT NULL,
    PRIMARY KEY (company_id, trip_id, swap_no),
    FOREIGN KEY (company_id, trip_id) REFERENCES trip (company_id, trip_id)
);

-- Where each live ticket of the trip went.
CREATE TABLE trip_swap_ticket (
    company_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    swap_no smallint NOT NULL,
    ticket_id uuid NOT NULL,
    old_seat integer NOT NULL,             -- numbered as before
    new_seat integer NOT NULL,             -- numbered as after; 0: no place
    old_label text NOT NULL,
    new_label text NOT NULL,
    reason text,                           -- why it has no place
    told boolean NOT NULL,                 -- its passenger heard of it
    PRIMARY KEY (company_id, trip_id, swap_no, ticket_id),
    FOREIGN KEY (company_id, trip_id, swap_no) REFERENCES trip_swap
);

-- Tickets that a swap left without a place, until their passengers have something else. They are
-- disputed, and what was paid for them stands in suspense.
CREATE TABLE ticket_displaced (
    company_id uuid NOT NULL,
    ticket_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (company_id, ticket_id)
);
CREATE INDEX ticket_displaced_by_trip ON ticket_displaced (company_id, trip_id);

-- One rebooking of a trip at a time: after a swap was taken back there may be another.
DROP INDEX aftersale_offer_one_rebooking;
CREATE UNIQUE INDEX aftersale_offer_one_rebooking
    ON aftersale_offer (company_id, booking_id, trip_id) WHERE kind = 'rebook' AND state = 'open';

-- Seats change places within one transaction: who owns what is looked at when it ends.
CREATE CONSTRAINT TRIGGER seat_owned_once_moved AFTER UPDATE OF seat ON claim
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.kind = 'hold' AND NEW.seat > 0)
    EXECUTE FUNCTION claim_lies_on_no_ticket();
CREATE CONSTRAINT TRIGGER seat_owned_once_moved AFTER UPDATE OF seat ON ticket
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.issuer_node IS NULL AND NEW.state = 0 AND NEW.seat > 0)
    EXECUTE FUNCTION ticket_lies_on_no_claim();

SELECT protect_tenant_tables();
