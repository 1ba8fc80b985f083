-- Whom a counter sold a ticket to is found by the moment of its sale: the events that have a name
-- or a number beside them, by node and time.
CREATE INDEX event_with_personal ON event (company_id, node_id, at_ms)
    WHERE personal_hash IS NOT NULL;
