-- Several processes of one hub: the keys they have to share, what is told of the whole hub to
-- whoever watches it, and how long a node may be silent.

-- What the hub's keys are known by. The first process writes it; one that holds others refuses to
-- start, since nodes and sealed data know only these.
CREATE TABLE hub_keys (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    signing_key bytea NOT NULL CHECK (length(signing_key) = 32),  -- Ed25519 public
    trip_master bytea NOT NULL CHECK (length(trip_master) = 32),  -- a one-way name of the master
    authority bytea NOT NULL CHECK (length(authority) = 32),      -- SHA-256 of the CA certificate
    vault_first bytea NOT NULL CHECK (length(vault_first) = 32),  -- a one-way name of master 1
    vault_newest smallint NOT NULL CHECK (vault_newest BETWEEN 1 AND 255)
);
GRANT SELECT, INSERT, UPDATE ON hub_keys TO mwimule_app;

-- Since when a node counts as silent; null while it is heard of.
ALTER TABLE node ADD silent_since_ms bigint;

-- So long a node may be silent before its company is told: 24 h.
ALTER TABLE operations_settings ADD node_silent_ms bigint NOT NULL DEFAULT 86400000;

-- How many events nobody has been told of, counted no further than a look may cost, and since
-- when the oldest waits.
CREATE FUNCTION outbox_backlog() RETURNS TABLE (waiting bigint, oldest_at_ms bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$
        SELECT (SELECT count(*) FROM (SELECT FROM outbox WHERE NOT published LIMIT 100000) w),
               (SELECT at_ms FROM outbox WHERE NOT published ORDER BY event_no LIMIT 1)
    $$;

-- The nodes of every company that may connect, for whoever watches the hub.
CREATE FUNCTION node_contacts() RETURNS TABLE (
        company text, node_id uuid, name text, kind text, last_contact_ms bigint,
        unsynced bigint, silent boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$
        SELECT c.name, n.node_id, n.name, n.kind, n.last_contact_ms,
               greatest(n.told_last_seq - coalesce(l.stored_seq, 0), 0),
               n.silent_since_ms IS NOT NULL
        FROM node n JOIN company c USING (company_id)
        LEFT JOIN LATERAL (
            SELECT stored_seq FROM node_log l
            WHERE l.company_id = n.company_id AND l.node_id = n.node_id
            ORDER BY incarnation DESC LIMIT 1) l ON true
        WHERE n.last_contact_ms IS NOT NULL AND NOT n.revoked
        ORDER BY n.node_id LIMIT 5000
    $$;

SELECT protect_tenant_tables();
