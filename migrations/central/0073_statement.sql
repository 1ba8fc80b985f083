-- Statements of providers and banks, and which of their lines are ours.

-- How a file is read; a provider's or a bank's, or one of the company's own making.
CREATE TABLE statement_mapping (
    company_id uuid NOT NULL REFERENCES company,
    name text NOT NULL,
    body jsonb NOT NULL,
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, name)
);

CREATE TABLE statement (
    company_id uuid NOT NULL REFERENCES company,
    statement_id uuid NOT NULL,
    account text NOT NULL CHECK (account IN
        ('mobile_money_clearing', 'card_clearing', 'online_clearing', 'bank')),
    mapping text NOT NULL,
    file_name text NOT NULL,
    currency text NOT NULL,
    imported_at_ms bigint NOT NULL,
    actor_kind text NOT NULL,
    actor_id uuid,
    PRIMARY KEY (company_id, statement_id)
);

-- A line that came before, in whatever file, is not taken again.
CREATE TABLE statement_line (
    company_id uuid NOT NULL,
    statement_id uuid NOT NULL,
    line_id uuid NOT NULL,
    line_no integer NOT NULL,              -- in the file, from 1, the header not counted
    account text NOT NULL,                 -- the statement's
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    kind text NOT NULL CHECK (kind IN ('payment', 'refund', 'fee', 'payout', 'other')),
    at_ms bigint NOT NULL,
    reference text NOT NULL,               -- theirs; empty where they gave none
    our_reference text NOT NULL,           -- what we had told them; empty where they gave none
    amount_minor bigint NOT NULL,          -- to us positive
    fee_minor bigint NOT NULL DEFAULT 0,   -- kept of it, positive
    phone_blind bytea,                     -- keyed hash, to match by
    state text NOT NULL CHECK (state IN ('unmatched', 'matched', 'posted')),
    matched_kind text CHECK (matched_kind IN ('payment', 'refund', 'entry')),
    matched_id uuid,
    matched_by text CHECK (matched_by IN ('reference', 'amount', 'person')),
    entry_id uuid,                         -- what posted its fee, or the line itself
    PRIMARY KEY (company_id, line_id),
    CONSTRAINT statement_line_once UNIQUE (company_id, account, fingerprint),
    CONSTRAINT statement_matched_once UNIQUE (company_id, matched_kind, matched_id),
    FOREIGN KEY (company_id, statement_id) REFERENCES statement (company_id, statement_id)
);
CREATE INDEX statement_line_by_statement ON statement_line (company_id, statement_id, line_no);

SELECT protect_tenant_tables();
