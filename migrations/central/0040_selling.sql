-- Who paid for a booking, by which payment, and what the hub may do again without looking twice.

ALTER TABLE booking
    ADD paid_by uuid,                      -- the payment that confirmed it
    ADD confirmed_at_ms bigint;
CREATE INDEX booking_by_trip ON booking (company_id, trip_id);

SELECT protect_tenant_tables();
