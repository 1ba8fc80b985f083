-- Settlements: what a company earned, or what a seller is owed, over some days, line by line.

CREATE TABLE settlement (
    company_id uuid NOT NULL REFERENCES company,
    settlement_id uuid NOT NULL,
    settlement_no bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL CHECK (kind IN ('company', 'party')),
    party_id uuid,                         -- of a party's
    from_date date NOT NULL,               -- first posting day
    to_date date NOT NULL,                 -- last posting day
    currency text NOT NULL,
    state text NOT NULL CHECK (state IN ('draft', 'proposed', 'signed_off', 'paid')),
    net_minor bigint NOT NULL,             -- earned, or owed to the party
    missing jsonb NOT NULL,                -- nodes whose logs had not all come, and how much
    created_at_ms bigint NOT NULL,
    proposed_kind text,
    proposed_by uuid,
    signed_kind text,
    signed_by uuid,
    signed_at_ms bigint,
    paid_reference text,                   -- of the transfer
    paid_entry uuid,
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, settlement_id),
    CHECK ((kind = 'party') = (party_id IS NOT NULL)),
    CHECK (from_date <= to_date)
);

-- Every posting is settled once per side: with the company, and with its party.
CREATE TABLE settlement_line (
    company_id uuid NOT NULL,
    settlement_id uuid NOT NULL,
    kind text NOT NULL,                    -- the settlement's
    entry_id uuid NOT NULL,
    line smallint NOT NULL,
    category text NOT NULL,                -- the account's kind
    amount_minor bigint NOT NULL,          -- the posting's, the other way round
    PRIMARY KEY (company_id, settlement_id, entry_id, line),
    CONSTRAINT settlement_line_once UNIQUE (company_id, kind, entry_id, line),
    FOREIGN KEY (company_id, settlement_id) REFERENCES settlement ON DELETE CASCADE
);

SELECT protect_tenant_tables();
