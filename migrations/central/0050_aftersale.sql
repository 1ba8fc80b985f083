-- After the sale: the company's rules, offers, extras, who travelled.

-- What a company promises once tickets are sold; without a row the defaults hold.
CREATE TABLE aftersale_rule (
    company_id uuid PRIMARY KEY REFERENCES company,
    exchange_fee_minor bigint NOT NULL CHECK (exchange_fee_minor >= 0), -- per seat, in the company's currency
    exchange_until_min integer NOT NULL CHECK (exchange_until_min >= 0), -- minutes before departure
    delay_limit_min integer NOT NULL CHECK (delay_limit_min > 0), -- a longer delay refunds everything
    no_show_keep_percent smallint NOT NULL CHECK (no_show_keep_percent BETWEEN 0 AND 100), -- of who did not come
    self_service boolean NOT NULL,         -- whether passengers may cancel and exchange by themselves
    conditions text NOT NULL,              -- printed on tickets
    version integer NOT NULL DEFAULT 1
);

-- What is kept of a refund, by how long before departure it is asked for. The tier with the
-- largest hours_before that is not larger counts; below all of them nothing goes back.
CREATE TABLE refund_tier (
    company_id uuid NOT NULL REFERENCES company,
    route_code text NOT NULL DEFAULT '',   -- empty: every route without tiers of its own
    hours_before integer NOT NULL CHECK (hours_before >= 0),
    keep_percent smallint NOT NULL CHECK (keep_percent BETWEEN 0 AND 100),
    fee_minor bigint NOT NULL DEFAULT 0 CHECK (fee_minor >= 0), -- per seat, on top
    PRIMARY KEY (company_id, route_code, hours_before)
);

-- Luggage and whatever else may be bought beside a seat.
CREATE TABLE extra (
    company_id uuid NOT NULL REFERENCES company,
    extra_code text NOT NULL,
    name text NOT NULL,
    price_minor bigint NOT NULL CHECK (price_minor >= 0), -- in the company's currency
    per text NOT NULL CHECK (per IN ('passenger', 'piece')),
    max_count integer NOT NULL CHECK (max_count BETWEEN 1 AND 100), -- per seat
    active boolean NOT NULL DEFAULT true,
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, extra_code)
);

-- An extra that was sold with a seat.
CREATE TABLE booking_extra (
    company_id uuid NOT NULL,
    booking_id uuid NOT NULL,
    extra_no bigint GENERATED ALWAYS AS IDENTITY,
    coupon_no smallint NOT NULL,
    extra_code text NOT NULL,
    name text NOT NULL,                    -- as it was called then
    count integer NOT NULL CHECK (count > 0),
    price_minor bigint NOT NULL,           -- of all of them
    currency text NOT NULL,
    sold_at_ms bigint NOT NULL,
    refunded boolean NOT NULL DEFAULT false,
    PRIMARY KEY (company_id, booking_id, extra_no),
    FOREIGN KEY (company_id, booking_id, coupon_no) REFERENCES coupon
);

-- What was offered for tickets, exactly as it will be carried out.
CREATE TABLE aftersale_offer (
    company_id uuid NOT NULL REFERENCES company,
    offer_id uuid NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('cancel', 'exchange', 'rebook')),
    booking_id uuid,                       -- null: a ticket that a node sold
    trip_id bigint,                        -- of a rebooking: the cancelled trip
    reason text NOT NULL,
    actor_kind text NOT NULL,              -- who asked for it, as audit_log.actor_kind
    actor_id uuid,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'confirmed', 'lapsed')),
    refund_minor bigint NOT NULL CHECK (refund_minor >= 0),
    fee_minor bigint NOT NULL CHECK (fee_minor >= 0),
    due_minor bigint NOT NULL CHECK (due_minor >= 0), -- to pay at the confirmation
    currency text NOT NULL,
    body jsonb NOT NULL,                   -- the plan: tickets, amounts, the seats wished
    valid_until_ms bigint NOT NULL,
    created_at_ms bigint NOT NULL,
    ended_at_ms bigint,
    PRIMARY KEY (company_id, offer_id)
);
CREATE INDEX aftersale_offer_by_booking ON aftersale_offer (company_id, booking_id);
CREATE UNIQUE INDEX aftersale_offer_one_rebooking
    ON aftersale_offer (company_id, booking_id, trip_id) WHERE kind = 'rebook';
CREATE INDEX aftersale_offer_to_end ON aftersale_offer (company_id, valid_until_ms)
    WHERE state = 'open';

-- Who came and who did not, whoever sold the ticket.
CREATE TABLE travel_mark (
    company_id uuid NOT NULL,
    ticket_id uuid NOT NULL,
    trip_id bigint NOT NULL,
    mark text NOT NULL CHECK (mark IN ('boarded', 'no_show')),
    at_ms bigint NOT NULL,
    actor_kind text NOT NULL,              -- as audit_log.actor_kind; system: from scans
    PRIMARY KEY (company_id, ticket_id)
);
CREATE INDEX travel_mark_by_trip ON travel_mark (company_id, trip_id);

-- An offer is found before its company is known. Gives away the company only.
CREATE FUNCTION company_of_offer(id uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id FROM aftersale_offer WHERE offer_id = id $$;

SELECT protect_tenant_tables();
DO $$
BEGIN
    EXECUTE format(
        'CREATE POLICY owner_look_up ON aftersale_offer FOR SELECT TO %I USING (true)', current_user
    );
END
$$;
