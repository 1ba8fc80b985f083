-- Z reports with their addenda, cases that a person decides.

-- A closed shift as it stood: addendum 0 is the Z report, later ones say what came after it.
CREATE TABLE shift_report (
    company_id uuid NOT NULL,
    node_id uuid NOT NULL,
    shift integer NOT NULL,
    addendum integer NOT NULL CHECK (addendum >= 0),
    z_no bigint NOT NULL,                  -- counts the node's closed shifts, without a gap
    body jsonb NOT NULL,
    made_at_ms bigint NOT NULL,
    PRIMARY KEY (company_id, node_id, shift, addendum),
    CONSTRAINT shift_report_numbered UNIQUE (company_id, node_id, z_no, addendum)
);

-- Closed shifts that something happened to.
CREATE TABLE shift_report_due (
    company_id uuid NOT NULL,
    node_id uuid NOT NULL,
    shift integer NOT NULL,
    PRIMARY KEY (company_id, node_id, shift)
);

CREATE INDEX ticket_by_shift ON ticket (company_id, issuer_node, shift)
    WHERE issuer_node IS NOT NULL;

-- open: waits for a person. decided: by one. settled: by itself, as when a missing sale came.
ALTER TABLE conflict_case
    ADD state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'decided', 'settled')),
    ADD winner uuid,                       -- the ticket that keeps its seat; null: none does
    ADD consequence text
        CHECK (consequence IN ('refund', 'other_seat', 'rebook', 'carried')), -- for the others
    ADD decision_reason text,
    ADD decided_kind text,                 -- as audit_log's actor_kind
    ADD decided_by uuid,
    ADD entry_id uuid;                     -- what moved the money
CREATE INDEX conflict_case_open ON conflict_case (company_id, case_id) WHERE state = 'open';

-- Scans of tickets that the validator found on no list.
CREATE INDEX scan_unlisted ON scan (company_id, at_ms) WHERE answer = 'good_but_unlisted';

SELECT protect_tenant_tables();
REVOKE UPDATE, DELETE, TRUNCATE ON shift_report FROM mwimule_app;
