-- Recognition of revenue, parties that earn commission, locked periods, entries by hand.

ALTER TABLE ledger_account
    ADD party_id uuid,                     -- whom it is owed to
    DROP CONSTRAINT ledger_account_company_id_kind_node_id_shift_trip_id_curren_key,
    ADD CONSTRAINT ledger_account_once UNIQUE NULLS NOT DISTINCT
        (company_id, kind, node_id, shift, trip_id, party_id, currency);

-- Whoever earns on sales. A station's number is its node's, a person's and a key's their own; an
-- agent who signs in at counters only is known by name.
CREATE TABLE ledger_party (
    company_id uuid NOT NULL REFERENCES company,
    party_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('station', 'agent', 'person', 'key')),
    name text NOT NULL,
    PRIMARY KEY (company_id, party_id)
);

-- The day whose period an entry is in: its business date, or the first open day when that was
-- locked by then.
ALTER TABLE ledger_entry ADD posting_date date;
ALTER TABLE ledger_entry NO FORCE ROW LEVEL SECURITY;
UPDATE ledger_entry SET posting_date = business_date;
ALTER TABLE ledger_entry FORCE ROW LEVEL SECURITY;
ALTER TABLE ledger_entry ALTER posting_date SET NOT NULL;
CREATE INDEX ledger_entry_by_day ON ledger_entry USING brin (posting_date);

-- A ticket is sold and voided once; corrections may name it again.
DROP INDEX ledger_ticket_once;
CREATE UNIQUE INDEX ledger_ticket_once ON ledger_posting (company_id, ticket_id, kind)
    WHERE ticket_id IS NOT NULL AND kind IN ('sale', 'void');
CREATE INDEX ledger_by_ticket ON ledger_posting (company_id, ticket_id)
    WHERE ticket_id IS NOT NULL AND kind NOT IN ('sale', 'void');

-- Why a person made an entry.
CREATE TABLE ledger_note (
    company_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    reason text NOT NULL,
    actor_kind text NOT NULL,              -- as audit_log's
    actor_id uuid,
    reverses uuid,                         -- the entry that this one takes back
    at_ms bigint NOT NULL,
    PRIMARY KEY (company_id, entry_id),
    FOREIGN KEY (company_id, entry_id) REFERENCES ledger_entry (company_id, entry_id),
    CONSTRAINT ledger_reversed_once UNIQUE (company_id, reverses)
);

-- Days that take no more entries. Nothing unlocks them.
CREATE TABLE ledger_lock (
    company_id uuid NOT NULL REFERENCES company,
    lock_no bigint GENERATED ALWAYS AS IDENTITY,
    from_date date NOT NULL,
    to_date date NOT NULL,                 -- the last day
    reason text NOT NULL,
    locked_at_ms bigint NOT NULL,
    actor_kind text NOT NULL,
    actor_id uuid,
    PRIMARY KEY (company_id, lock_no),
    CHECK (from_date <= to_date),
    CONSTRAINT ledger_lock_no_overlap
        EXCLUDE USING gist (company_id WITH =, daterange(from_date, to_date, '[]') WITH &&)
);

-- Trips whose revenue is earned; what is sold for them later is earned at once.
CREATE TABLE ledger_recognition (
    company_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    first_at_ms bigint NOT NULL,
    runs integer NOT NULL DEFAULT 1,       -- a run that finds nothing changes no account
    PRIMARY KEY (company_id, trip_id)
);
CREATE INDEX ledger_recognition_by_time ON ledger_recognition (company_id, first_at_ms);

-- What posters share and a period's lock takes alone.
CREATE FUNCTION ledger_gate(company uuid) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT hashtextextended('mwimule ledger ' || company::text, 0) $$;

-- The day that an entry of `day` posts on when it is written on `today`. Volatile, so that each
-- statement sees the locks that the gate waited for.
CREATE FUNCTION ledger_open_day(company uuid, day date, today date) RETURNS date
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    until date;
    free date;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(ledger_gate(company));
    SELECT to_date INTO until FROM ledger_lock
        WHERE company_id = company AND day BETWEEN from_date AND to_date;
    IF NOT FOUND THEN
        RETURN day;
    END IF;
    free := greatest(today, until + 1);
    LOOP
        SELECT to_date INTO until FROM ledger_lock
            WHERE company_id = company AND free BETWEEN from_date AND to_date;
        EXIT WHEN NOT FOUND;
        free := until + 1;
    END LOOP;
    RETURN free;
END
$$;

SELECT protect_tenant_tables();
REVOKE UPDATE, DELETE, TRUNCATE ON ledger_note, ledger_lock FROM mwimule_app;
