-- Webhooks to companies: where to, what was sent, what came of it.

CREATE TABLE webhook_endpoint (
    company_id uuid NOT NULL REFERENCES company,
    endpoint_id uuid NOT NULL,
    url text NOT NULL,
    description text NOT NULL,
    kinds text[],                          -- of events; null: all
    secret_sealed bytea NOT NULL,          -- AEAD of the bytes behind whsec_
    secret_before_sealed bytea,            -- of the one before, while both sign
    before_until_ms bigint,                -- when the one before ends
    enabled boolean NOT NULL DEFAULT true,
    disabled_why text,                     -- when the hub gave up
    since_ms bigint NOT NULL,              -- events before it are not sent
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, endpoint_id)
);

-- One event to one endpoint.
CREATE TABLE webhook_delivery (
    company_id uuid NOT NULL,
    delivery_no bigint GENERATED ALWAYS AS IDENTITY,
    endpoint_id uuid NOT NULL,
    event_no bigint NOT NULL,              -- of the outbox
    event_id uuid NOT NULL,                -- goes out as webhook-id
    kind text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    next_try_at_ms bigint,                 -- null: not by itself
    last_status integer,                   -- HTTP
    last_error text,
    created_at_ms bigint NOT NULL,
    tried_at_ms bigint,
    delivered_at_ms bigint,
    PRIMARY KEY (company_id, delivery_no),
    UNIQUE (company_id, endpoint_id, event_no),
    FOREIGN KEY (company_id, endpoint_id) REFERENCES webhook_endpoint ON DELETE CASCADE
);
CREATE INDEX webhook_to_deliver ON webhook_delivery (next_try_at_ms) WHERE next_try_at_ms IS NOT NULL;

-- This consumer's mark. A row's own flag instead of a number, since event numbers of long
-- transactions become visible after higher ones.
ALTER TABLE outbox ADD webhooks_done boolean NOT NULL DEFAULT false;
CREATE INDEX outbox_for_webhooks ON outbox (event_no) WHERE NOT webhooks_done;

CREATE FUNCTION companies_with_news() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT DISTINCT company_id FROM
          (SELECT company_id FROM outbox WHERE NOT webhooks_done ORDER BY event_no LIMIT 1000) AS o $$;
CREATE FUNCTION due_deliveries(now_ms bigint, most integer)
    RETURNS TABLE (company_id uuid, delivery_no bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id, delivery_no FROM webhook_delivery
          WHERE next_try_at_ms <= now_ms ORDER BY next_try_at_ms LIMIT most $$;

SELECT protect_tenant_tables();

DO $$
DECLARE
    looked_up text;
BEGIN
    FOREACH looked_up IN ARRAY ARRAY['outbox', 'webhook_delivery'] LOOP
        EXECUTE format(
            'CREATE POLICY owner_look_up ON %I FOR SELECT TO %I USING (true)', looked_up, current_user
        );
    END LOOP;
END
$$;
