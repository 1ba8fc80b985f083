-- A booking's tickets: read whenever it is paid, shown or told of. Tickets of nodes have none and
-- cost nothing here.
CREATE INDEX ticket_by_booking ON ticket (company_id, booking_id) WHERE booking_id IS NOT NULL;
