-- What every service of the hub stands on: protection of tenant tables, the audit log, the
-- outbox, API keys with scopes.

-- Puts every tenant table that is not yet protected under forced row-level security and lets the
-- app role work on it. Each later migration ends with SELECT protect_tenant_tables(), and takes
-- back from mwimule_app what a table must never allow.
CREATE FUNCTION protect_tenant_tables() RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    tenant_table text;
BEGIN
    FOR tenant_table IN
        SELECT c.relname FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id'
        WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
            AND NOT c.relforcerowsecurity
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY tenant ON %I USING (company_id = (SELECT current_company()))'
            ' WITH CHECK (company_id = (SELECT current_company()))',
            tenant_table
        );
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO mwimule_app', tenant_table);
    END LOOP;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO mwimule_app;
END
$$;
REVOKE EXECUTE ON FUNCTION protect_tenant_tables() FROM PUBLIC;

-- Who did what, with the row before and after. Append only.
CREATE TABLE audit_log (
    company_id uuid NOT NULL REFERENCES company,
    entry_no bigint GENERATED ALWAYS AS IDENTITY,
    at_ms bigint NOT NULL,
    actor_kind text NOT NULL CHECK (actor_kind IN ('person', 'key', 'anonymous', 'system')),
    actor_id uuid,
    action text NOT NULL,                  -- what was done, like fare.update
    subject text NOT NULL,                 -- to what, like fare:STD
    before jsonb,                          -- personal data left out
    after jsonb,
    PRIMARY KEY (company_id, entry_no)
);
CREATE INDEX audit_by_subject ON audit_log (company_id, subject, entry_no);

-- What happened, for whoever wants to be told. Written in the transaction that made it true; each
-- consumer keeps its own mark.
CREATE TABLE outbox (
    company_id uuid NOT NULL REFERENCES company,
    event_no bigint GENERATED ALWAYS AS IDENTITY,
    event_id uuid NOT NULL,
    kind text NOT NULL,                    -- like booking.confirmed
    subject text NOT NULL,                 -- like booking:7F3K-22QX
    body jsonb NOT NULL,                   -- without personal data
    at_ms bigint NOT NULL,
    PRIMARY KEY (company_id, event_no),
    UNIQUE (company_id, event_id)
);

-- A token made before scopes existed may do what a company admin may.
ALTER TABLE api_token
    ADD token_id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD scopes text[];                     -- null: everything in the company
CREATE UNIQUE INDEX api_token_by_id ON api_token (company_id, token_id);

-- Who asked, beside what was asked: two callers may use one key without meeting.
ALTER TABLE idempotency
    ADD scope text NOT NULL DEFAULT '',
    DROP CONSTRAINT idempotency_pkey,
    ADD PRIMARY KEY (company_id, scope, key);

-- A trip's state in the day's work, beside its immutable stops and legs.
ALTER TABLE trip
    ADD state text NOT NULL DEFAULT 'scheduled'
        CHECK (state IN ('scheduled', 'boarding', 'departed', 'arrived', 'cancelled')),
    ADD delay_ms bigint NOT NULL DEFAULT 0,
    ADD version integer NOT NULL DEFAULT 1;

CREATE FUNCTION caller_of_token(hash bytea)
    RETURNS TABLE (company_id uuid, token_id uuid, scopes text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id, token_id, scopes FROM api_token
          WHERE token_hash = hash AND revoked_at_ms IS NULL $$;
DROP FUNCTION company_of_token(bytea);

SELECT protect_tenant_tables();
REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM mwimule_app;
REVOKE UPDATE, DELETE, TRUNCATE ON ledger_entry, ledger_posting FROM mwimule_app;
