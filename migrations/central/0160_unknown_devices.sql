-- Devices that were enrolled after the backup that a hub was restored from.

-- A device that the hub has no enrolment of, while trips may wait for it. What names it is other
-- devices' word, a grant with the hub's own signature, or the device itself, which comes with a
-- certificate of this hub.
CREATE TABLE restore_unknown (
    company_id uuid NOT NULL REFERENCES company,
    node_id uuid NOT NULL,                 -- of no other table: hearsay
    heard_at_ms bigint NOT NULL,
    told_by uuid,                          -- the device that named it first
    told_key bytea CHECK (length(told_key) = 32),     -- its ticket key in that device's words
    proven boolean NOT NULL DEFAULT false, -- the hub signed a grant to it
    event_key bytea CHECK (length(event_key) = 32),   -- in its own words, as it asked
    ticket_key bytea CHECK (length(ticket_key) = 32),
    asked_at_ms bigint,                    -- it came and asked to be taken in
    given_up_at_ms bigint,                 -- a person has taken the risk of not waiting for it
    PRIMARY KEY (company_id, node_id)
);

-- A person has taken the risk of not waiting for the device, on every trip.
ALTER TABLE restore_report ADD COLUMN given_up_at_ms bigint;

-- As before, and devices that a person gave up are not waited for; those that are not known are
-- while there is a frozen trip.
CREATE OR REPLACE FUNCTION freeze_new_trip() RETURNS trigger
    LANGUAGE plpgsql VOLATILE
    AS $$
BEGIN
    SELECT r.hub_incarnation INTO NEW.frozen_by FROM restore_report r
    WHERE r.company_id = NEW.company_id AND r.drained_at_ms IS NULL
        AND r.given_up_at_ms IS NULL LIMIT 1;
    IF NEW.frozen_by IS NULL AND EXISTS (
        SELECT FROM restore_unknown u
        WHERE u.company_id = NEW.company_id AND u.given_up_at_ms IS NULL
    ) THEN
        SELECT t.frozen_by INTO NEW.frozen_by FROM trip t
        WHERE t.company_id = NEW.company_id AND t.frozen_by IS NOT NULL LIMIT 1;
    END IF;
    RETURN NEW;
END
$$;

SELECT protect_tenant_tables();
