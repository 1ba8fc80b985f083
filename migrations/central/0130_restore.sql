-- A hub that was restored from a backup: which trips wait, for which devices, and what those told.

-- When the running installation of the hub began, and from which moment its data is; null for one
-- that was never restored. The key is what the hub signs its own tickets with, so that those which
-- were lost are known when a validator shows them.
ALTER TABLE hub ADD COLUMN restored_at_ms bigint;
ALTER TABLE hub ADD COLUMN restore_point_ms bigint;
ALTER TABLE hub ADD COLUMN ticket_key bytea CHECK (length(ticket_key) = 32);

-- The installation of the hub since whose restore the pool of the trip is frozen; null: it sells.
ALTER TABLE trip ADD COLUMN frozen_by integer;
CREATE INDEX trip_frozen ON trip (company_id, trip_id) WHERE frozen_by IS NOT NULL;

-- The installation that took the grant over from its holder's word; null: it granted it itself.
ALTER TABLE lease ADD COLUMN adopted_by integer;
CREATE INDEX lease_adopted ON lease (company_id, trip_id) WHERE adopted_by IS NOT NULL;

-- A device that has to tell what it holds. Rows of the running installation only.
CREATE TABLE restore_report (
    company_id uuid NOT NULL,
    node_id uuid NOT NULL,
    hub_incarnation integer NOT NULL,
    doubtful boolean NOT NULL DEFAULT false, -- its disk was replaced since the backup
    reported_at_ms bigint,                   -- it has told its grants
    adopted integer NOT NULL DEFAULT 0,      -- grants that the hub did not know
    drained_at_ms bigint,                    -- its log is judged up to where it was then
    PRIMARY KEY (company_id, node_id),
    FOREIGN KEY (company_id, node_id) REFERENCES node
);

-- How far each of its logs went when it told.
CREATE TABLE restore_told (
    company_id uuid NOT NULL,
    node_id uuid NOT NULL,
    incarnation integer NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (company_id, node_id, incarnation),
    FOREIGN KEY (company_id, node_id) REFERENCES restore_report ON DELETE CASCADE
);

-- A grant that the hub signed and cannot take over: its trip was lost, or its number stands for
-- another grant. What is sold under it is disputed, and a person decides.
CREATE TABLE restore_orphan (
    company_id uuid NOT NULL,
    node_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    lease_no integer NOT NULL,
    epoch bigint NOT NULL,
    signed bytea NOT NULL,                   -- CBOR of domain's SignedGrant
    told_at_ms bigint NOT NULL,
    PRIMARY KEY (company_id, node_id, trip_id, lease_no, epoch)
);

-- A ticket of the hub's own that a validator saw and the hub does not know: sold after the backup.
-- Its seat is kept by blocks that wait for nothing.
CREATE TABLE unlisted_ticket (
    company_id uuid NOT NULL,
    ticket_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    seat integer NOT NULL,
    legs int4range NOT NULL,
    code text NOT NULL,                      -- as it was shown
    seen_by uuid NOT NULL,
    seen_at_ms bigint NOT NULL,              -- by the validator's clock
    PRIMARY KEY (company_id, ticket_id)
);
CREATE INDEX unlisted_ticket_by_trip ON unlisted_ticket (company_id, trip_id);

-- A trip that is made while devices are still to tell may stand for one that was lost.
CREATE FUNCTION freeze_new_trip() RETURNS trigger
    LANGUAGE plpgsql VOLATILE
    AS $$
BEGIN
    SELECT r.hub_incarnation INTO NEW.frozen_by FROM restore_report r
    WHERE r.company_id = NEW.company_id AND r.drained_at_ms IS NULL LIMIT 1;
    RETURN NEW;
END
$$;
CREATE TRIGGER freeze_new_trip BEFORE INSERT ON trip
    FOR EACH ROW EXECUTE FUNCTION freeze_new_trip();

-- A lease lies under the tickets that were sold from it; that matters where its claims come after
-- them, because its holder told of it and only then it was known.
CREATE OR REPLACE FUNCTION claim_lies_on_no_ticket() RETURNS trigger
    LANGUAGE plpgsql VOLATILE
    AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ticket t
        WHERE t.trip_id = NEW.trip_id AND t.seat = NEW.seat AND t.legs && NEW.legs AND t.state = 0
            AND (NEW.kind = 'lease' AND t.issuer_node = NEW.node_id
                 AND t.lease_no = NEW.lease_no) IS NOT TRUE
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'exclusion_violation', CONSTRAINT = 'seat_owned_once', TABLE = TG_TABLE_NAME,
            MESSAGE = format('seat %s of trip %s is sold', NEW.seat, NEW.trip_id);
    END IF;
    RETURN NULL;
END
$$;

-- As before, and a trip whose pool is frozen says so in place of its state.
CREATE OR REPLACE FUNCTION trip_for_sale(
    company uuid, wanted bigint, take_lock boolean,
    OUT row_version bigint, OUT trip_state text, OUT zone text, OUT price_version bigint,
    OUT taken integer[], OUT waited_for boolean
)
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    frozen integer;
BEGIN
    IF take_lock THEN
        SELECT t.xmin::text::bigint, t.state, t.frozen_by INTO row_version, trip_state, frozen
        FROM trip t WHERE t.company_id = company AND t.trip_id = wanted FOR UPDATE;
    ELSE
        SELECT t.xmin::text::bigint, t.state, t.frozen_by INTO row_version, trip_state, frozen
        FROM trip t WHERE t.company_id = company AND t.trip_id = wanted;
    END IF;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF frozen IS NOT NULL AND trip_state IN ('scheduled', 'boarding', 'departed') THEN
        trip_state := 'frozen';
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
