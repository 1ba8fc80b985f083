-- What the outbox tells the message broker, and the bus that stands in for one.

-- This consumer's mark. Events of before are history that nobody wants to be told of again.
ALTER TABLE outbox ADD published boolean NOT NULL DEFAULT true;
ALTER TABLE outbox ALTER published SET DEFAULT false;
CREATE INDEX outbox_to_publish ON outbox (company_id, event_no) WHERE NOT published;

-- The companies with something to publish: as many index look-ups as there are such companies.
CREATE FUNCTION companies_to_publish() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$
    WITH RECURSIVE found AS (
        (SELECT company_id FROM outbox WHERE NOT published ORDER BY company_id LIMIT 1)
        UNION ALL
        SELECT (SELECT o.company_id FROM outbox o
                WHERE NOT o.published AND o.company_id > found.company_id
                ORDER BY o.company_id LIMIT 1)
        FROM found WHERE found.company_id IS NOT NULL
    )
    SELECT company_id FROM found WHERE company_id IS NOT NULL $$;

-- One message in one queue of the bus that works without a broker. Gone once it was handled.
CREATE TABLE bus_message (
    company_id uuid NOT NULL REFERENCES company,
    message_no bigint GENERATED ALWAYS AS IDENTITY,
    queue text NOT NULL,
    event_id uuid NOT NULL,                -- of the outbox
    kind text NOT NULL,
    subject text NOT NULL,
    body jsonb NOT NULL,                   -- without personal data
    at_ms bigint NOT NULL,                 -- when it happened
    tries integer NOT NULL DEFAULT 0,      -- begun, ended or not
    due_at_ms bigint,                      -- null: a dead letter
    reason text,                           -- what was wrong at the last try
    dead_at_ms bigint,
    PRIMARY KEY (company_id, message_no),
    UNIQUE (company_id, queue, event_id),
    CHECK ((due_at_ms IS NULL) = (dead_at_ms IS NOT NULL))
);
CREATE INDEX bus_message_due ON bus_message (queue, due_at_ms) WHERE due_at_ms IS NOT NULL;
CREATE INDEX bus_message_dead ON bus_message (queue, dead_at_ms) WHERE dead_at_ms IS NOT NULL;

CREATE FUNCTION due_bus_messages(wanted text, now_ms bigint, most integer)
    RETURNS TABLE (company_id uuid, message_no bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id, message_no FROM bus_message
          WHERE queue = wanted AND due_at_ms <= now_ms ORDER BY due_at_ms LIMIT most $$;
CREATE FUNCTION dead_bus_messages(wanted text, most integer)
    RETURNS TABLE (company_id uuid, message_no bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id, message_no FROM bus_message
          WHERE queue = wanted AND dead_at_ms IS NOT NULL ORDER BY dead_at_ms LIMIT most $$;

SELECT protect_tenant_tables();

DO $$
BEGIN
    EXECUTE format(
        'CREATE POLICY owner_look_up ON bus_message FOR SELECT TO %I USING (true)', current_user
    );
END
$$;
