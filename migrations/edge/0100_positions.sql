-- A node's positions: a file of their own beside the store, so that no sale ever waits for one.
-- Losing it costs fixes of the past, nothing else.

-- Fixes that the hub has not taken, as many as the ring holds.
CREATE TABLE fix (
    seq integer PRIMARY KEY,    -- the device's own count
    at_ms integer NOT NULL,     -- when, by the device's clock, in ms since 1970
    fix blob NOT NULL           -- as it travels
) STRICT;

-- How far the count has come; it never goes back.
CREATE TABLE counter (
    name text PRIMARY KEY,      -- 'seq'
    value integer NOT NULL
) STRICT, WITHOUT ROWID;
