-- What a journey costs: fares with their validity, discounts, vouchers, commission rates.

-- Nodes sell at the table in body. Once adopted it follows the rows of fare, a day at a time.
ALTER TABLE fare_table
    ADD adopted boolean NOT NULL DEFAULT false, -- its fares are rows of fare
    ADD published_on date;                 -- the day, in the company's zone, that body holds for

-- One fare. Of several that hold on the day of sale the one whose period began last counts.
CREATE TABLE fare (
    company_id uuid NOT NULL,
    fare_id uuid NOT NULL,
    fare_table_id text NOT NULL,
    from_stop text NOT NULL,
    to_stop text NOT NULL,
    class smallint NOT NULL CHECK (class BETWEEN 0 AND 3),
    fare_minor bigint NOT NULL CHECK (fare_minor BETWEEN 0 AND 1000000000000),
    valid_from date,                       -- first day of sale; null: always was
    valid_until date,                      -- last day of sale; null: until further notice
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, fare_id),
    CONSTRAINT fare_once UNIQUE NULLS NOT DISTINCT
        (company_id, fare_table_id, from_stop, to_stop, class, valid_from),
    FOREIGN KEY (company_id, fare_table_id) REFERENCES fare_table (company_id, fare_table_id),
    CHECK (valid_from <= valid_until)
);

-- Off the fare, by itself. Empty lists and nulls ask for nothing.
CREATE TABLE discount (
    company_id uuid NOT NULL REFERENCES company,
    discount_code text NOT NULL,
    name text NOT NULL,
    percent_bp integer CHECK (percent_bp BETWEEN 1 AND 10000), -- hundredths of a percent
    amount_minor bigint CHECK (amount_minor > 0),              -- off each passenger's fare
    currency text,                         -- of amount_minor
    classes smallint[] NOT NULL DEFAULT '{}',
    routes text[] NOT NULL DEFAULT '{}',
    weekdays smallint[] NOT NULL DEFAULT '{}', -- of departure, 1 Monday to 7 Sunday
    channels text[] NOT NULL DEFAULT '{}',
    days_ahead_min integer,                -- from the day of sale to the day of departure
    days_ahead_max integer,
    valid_from date,                       -- first day of sale
    valid_until date,                      -- last day of sale
    combines boolean NOT NULL DEFAULT false, -- adds to others; of those that do not the best counts
    active boolean NOT NULL DEFAULT true,
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, discount_code),
    CHECK ((percent_bp IS NULL) <> (amount_minor IS NULL)),
    CHECK ((amount_minor IS NULL) = (currency IS NULL)),
    CHECK (valid_from <= valid_until)
);

-- A code that takes something off a whole booking.
CREATE TABLE voucher (
    company_id uuid NOT NULL REFERENCES company,
    voucher_code text NOT NULL,
    name text NOT NULL,
    percent_bp integer CHECK (percent_bp BETWEEN 1 AND 10000), -- hundredths of a percent
    amount_minor bigint CHECK (amount_minor > 0),              -- off the booking
    currency text,                         -- of amount_minor and min_spend_minor
    valid_from date,                       -- first day of sale
    valid_until date,                      -- last day of sale
    uses_max integer CHECK (uses_max > 0), -- null: no limit
    uses_per_person_max integer CHECK (uses_per_person_max > 0),
    min_spend_minor bigint NOT NULL DEFAULT 0 CHECK (min_spend_minor >= 0), -- after discounts
    used integer NOT NULL DEFAULT 0 CHECK (used >= 0), -- uses that stand
    active boolean NOT NULL DEFAULT true,
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, voucher_code),
    CHECK ((percent_bp IS NULL) <> (amount_minor IS NULL)),
    CHECK (currency IS NOT NULL OR (amount_minor IS NULL AND min_spend_minor = 0)),
    CHECK (used <= uses_max),
    CHECK (valid_from <= valid_until)
);

-- A voucher in a booking; one voucher a booking.
CREATE TABLE voucher_use (
    company_id uuid NOT NULL,
    booking_id uuid NOT NULL,
    voucher_code text NOT NULL,
    person_id uuid,                        -- the account that booked
    phone_blind bytea,                     -- keyed hash of the contact's phone
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    used_at_ms bigint NOT NULL,
    returned_at_ms bigint,                 -- given back: the booking came to nothing
    PRIMARY KEY (company_id, booking_id),
    FOREIGN KEY (company_id, booking_id) REFERENCES booking (company_id, booking_id),
    FOREIGN KEY (company_id, voucher_code) REFERENCES voucher (company_id, voucher_code)
);
CREATE INDEX voucher_use_by_voucher ON voucher_use (company_id, voucher_code);

-- What a seller earns per ticket. An agent's own rate comes before its station's, that before the
-- company's; of several that hold the one whose period began last counts.
CREATE TABLE commission_rate (
    company_id uuid NOT NULL REFERENCES company,
    rate_id uuid NOT NULL,
    seller_kind text NOT NULL CHECK (seller_kind IN ('agent', 'station', 'company')),
    seller text NOT NULL,                  -- the agent's sign-in name or number; the stop's code; ''
    percent_bp integer CHECK (percent_bp BETWEEN 1 AND 10000), -- of the fare paid
    amount_minor bigint CHECK (amount_minor > 0),              -- per ticket, the fare at most
    currency text,                         -- of amount_minor
    valid_from date,                       -- first business date
    valid_until date,                      -- last business date
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, rate_id),
    CONSTRAINT commission_rate_once UNIQUE NULLS NOT DISTINCT
        (company_id, seller_kind, seller, valid_from),
    CHECK ((seller_kind = 'company') = (seller = '')),
    CHECK ((percent_bp IS NULL) <> (amount_minor IS NULL)),
    CHECK ((amount_minor IS NULL) = (currency IS NULL)),
    CHECK (valid_from <= valid_until)
);

SELECT protect_tenant_tables();
