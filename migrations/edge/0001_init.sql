-- A node's store. The log is the truth: everything else can be asked for again, or rebuilt.

-- What this database is; one row a name.
CREATE TABLE meta (
    name text PRIMARY KEY,      -- 'node', 'incarnation', 'doubt'
    value text NOT NULL
) STRICT, WITHOUT ROWID;

-- The node's append-only event log, of every incarnation that this disk has seen. One row an
-- event, so that a sale is one row.
CREATE TABLE event (
    pos integer PRIMARY KEY,    -- incarnation * 2^40 + position in that incarnation, from 1
    hash blob NOT NULL,         -- SHA-256 of the signed bytes, 32 bytes
    prev blob NOT NULL,         -- the hash of the event before, 32 bytes
    at_ms integer NOT NULL,     -- when, by the node's clock, in ms since 1970
    personal_hash blob,         -- SHA-256 of the personal blob, 32 bytes; signed
    body blob NOT NULL,         -- the encoded event body; signed
    signature blob NOT NULL,    -- Ed25519 over the signed bytes, 64 bytes
    personal blob,              -- names and phone numbers with their salt; erasable, never signed
    command_id blob,            -- the command it answers, 16 bytes, unique; none where the node acted by itself
    aside blob                  -- what the node remembers beside it; neither signed nor sent
) STRICT;

-- The incarnations of the node on this disk, and how far the hub has come with each log.
CREATE TABLE log_mark (
    incarnation integer PRIMARY KEY,
    stored_seq integer NOT NULL DEFAULT 0,  -- everything up to here is stored at the hub
    judged_seq integer NOT NULL DEFAULT 0   -- everything up to here has its verdict
) STRICT;

-- What the hub did not plainly apply.
CREATE TABLE verdict (
    pos integer PRIMARY KEY,    -- as in event
    verdict blob NOT NULL       -- the encoded verdict
) STRICT;

-- How far each bucket of the hub has been applied.
CREATE TABLE bucket_cursor (
    bucket text PRIMARY KEY,            -- its name, as `trip:17`
    id blob NOT NULL,                   -- the encoded bucket id
    change integer NOT NULL,            -- the last change applied
    applied_at_ms integer NOT NULL      -- when, by the node's clock, in ms since 1970
) STRICT, WITHOUT ROWID;

-- What the buckets say; a later fact of one key replaces an earlier one.
CREATE TABLE fact (
    bucket text NOT NULL,
    key text NOT NULL,          -- the fact's identity within its bucket, as `trip:17`
    item blob NOT NULL,         -- the encoded item
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;

-- Grants to this node, and the incarnation that may sell from each.
CREATE TABLE grant_received (
    trip integer NOT NULL,
    lease_no integer NOT NULL,
    incarnation integer NOT NULL,   -- 0: in doubt, an earlier incarnation may have sold from it
    signed blob NOT NULL,           -- the grant with the hub's signature
    PRIMARY KEY (trip, lease_no)
) STRICT, WITHOUT ROWID;

-- Lease requests; kept after their answer, because they prove for which incarnation a grant is.
CREATE TABLE wish (
    request_id blob PRIMARY KEY,    -- 16 bytes
    incarnation integer NOT NULL,   -- which incarnation asked
    request blob NOT NULL,          -- the encoded lease request
    made_at_ms integer NOT NULL,    -- when, in ms since 1970
    state text NOT NULL CHECK (state IN ('waiting', 'granted', 'refused')),
    lease_no integer,               -- the grant it got
    why text                        -- why it got none, in words
) STRICT, WITHOUT ROWID;
