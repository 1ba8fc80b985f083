-- People, what they are to companies, and how they prove who they are. A person belongs to no
-- company, so these tables but membership are the hub's; the app role is let in one by one.

-- Somebody with an account. What identifies them is sealed; the blind columns find it again.
CREATE TABLE person (
    person_id uuid PRIMARY KEY,
    name_sealed bytea NOT NULL,
    email_sealed bytea,
    email_blind bytea UNIQUE,
    email_verified_at_ms bigint,
    phone_sealed bytea,
    phone_blind bytea UNIQUE,
    phone_verified_at_ms bigint,
    password_hash text,                    -- PHC of Argon2id; bcrypt's of an import until its first use
    super_admin boolean NOT NULL DEFAULT false,
    totp_sealed bytea,                     -- secret of the second factor
    totp_confirmed_at_ms bigint,           -- null: enrolled, not yet in force
    totp_last_step bigint NOT NULL DEFAULT 0, -- the last 30-second step a code was used of
    authority_no integer NOT NULL DEFAULT 1, -- access tokens that name another are refused
    disabled_at_ms bigint,
    created_at_ms bigint NOT NULL,
    version integer NOT NULL DEFAULT 1,
    CHECK (email_blind IS NOT NULL OR phone_blind IS NOT NULL)
);

-- What a person is to a company, under the name and contact that the company knows them by.
CREATE TABLE membership (
    company_id uuid NOT NULL REFERENCES company,
    person_id uuid NOT NULL REFERENCES person,
    roles text[] NOT NULL
        CHECK (roles <@ ARRAY['driver', 'agent', 'clerk', 'company_admin']),
    name_sealed bytea NOT NULL,
    contact_sealed bytea NOT NULL,         -- e-mail or phone
    contact_blind bytea NOT NULL,
    created_at_ms bigint NOT NULL,
    disabled_at_ms bigint,
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, person_id),
    UNIQUE (company_id, contact_blind)
);
CREATE INDEX membership_by_person ON membership (person_id);

-- One sign-in, until it ends. Its refresh tokens are one family.
CREATE TABLE session (
    session_id uuid PRIMARY KEY,
    person_id uuid NOT NULL REFERENCES person,
    transport text NOT NULL CHECK (transport IN ('token', 'cookie')),
    secret_hash bytea UNIQUE CHECK (length(secret_hash) = 32), -- of a cookie
    works_for uuid,                        -- the company chosen
    second_factor boolean NOT NULL,        -- proved in this session
    device text NOT NULL,                  -- the beginning of its User-Agent
    began_at_ms bigint NOT NULL,
    seen_at_ms bigint NOT NULL,            -- to a few minutes
    idle_ends_at_ms bigint NOT NULL,       -- unless it is used before
    ends_at_ms bigint NOT NULL,            -- whatever happens
    ended_at_ms bigint,
    ended_why text,
    CHECK ((transport = 'cookie') = (secret_hash IS NOT NULL))
);
CREATE INDEX session_by_person ON session (person_id);
CREATE INDEX session_by_end ON session (idle_ends_at_ms);

-- A link of a session's chain of refresh tokens. Its successor is derived from it.
CREATE TABLE refresh_token (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    session_id uuid NOT NULL REFERENCES session ON DELETE CASCADE,
    issued_at_ms bigint NOT NULL,
    used_at_ms bigint                      -- when its successor was first given
);
CREATE INDEX refresh_token_by_session ON refresh_token (session_id);

-- A code sent to an e-mail address or phone, good once.
CREATE TABLE one_use_code (
    code_id uuid PRIMARY KEY,
    purpose text NOT NULL CHECK (purpose IN ('register', 'reset', 'invite', 'contact')),
    contact_blind bytea NOT NULL,
    person_id uuid REFERENCES person,
    code_hash bytea NOT NULL,              -- keyed
    about_sealed bytea,                    -- what becomes true once the code is shown
    delivery_sealed bytea,                 -- contact and code, until they were sent
    attempts_left smallint NOT NULL,
    created_at_ms bigint NOT NULL,
    expires_at_ms bigint NOT NULL,
    used_at_ms bigint
);
CREATE INDEX one_use_code_by_contact ON one_use_code (contact_blind, created_at_ms);
CREATE INDEX one_use_code_to_deliver ON one_use_code (created_at_ms)
    WHERE delivery_sealed IS NOT NULL;

-- Stands in for a lost second factor, once.
CREATE TABLE recovery_code (
    person_id uuid NOT NULL REFERENCES person,
    code_hash bytea NOT NULL,              -- keyed
    used_at_ms bigint,
    PRIMARY KEY (person_id, code_hash)
);

-- How often something was tried lately: wrong passwords per account and address, codes per contact.
CREATE TABLE throttle (
    kind text NOT NULL,
    subject bytea NOT NULL,                -- keyed hash
    tries integer NOT NULL,
    ends_at_ms bigint NOT NULL,            -- then counting begins anew
    PRIMARY KEY (kind, subject)
);
CREATE INDEX throttle_by_end ON throttle (ends_at_ms);

-- What access tokens are signed with: Ed25519.
CREATE TABLE auth_key (
    kid text PRIMARY KEY,                  -- RFC 7638 thumbprint
    public_key bytea NOT NULL CHECK (length(public_key) = 32),
    secret_sealed bytea NOT NULL,
    signs_from_ms bigint NOT NULL,         -- until a later key does
    withdrawn_at_ms bigint,                -- trusted no more from then on
    created_at_ms bigint NOT NULL
);

-- What happened to a person's account, whichever company they work for. Append only.
CREATE TABLE person_log (
    entry_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms bigint NOT NULL,
    person_id uuid NOT NULL,
    actor_kind text NOT NULL CHECK (actor_kind IN ('person', 'key', 'anonymous', 'system')),
    actor_id uuid,
    action text NOT NULL,                  -- like session.begin
    detail jsonb                           -- without personal data and secrets
);
CREATE INDEX person_log_by_person ON person_log (person_id, entry_no);

GRANT SELECT, INSERT, UPDATE ON person TO mwimule_app;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON session, refresh_token, one_use_code, recovery_code, throttle TO mwimule_app;
GRANT SELECT, INSERT, UPDATE ON auth_key TO mwimule_app;
GRANT SELECT, INSERT ON person_log TO mwimule_app;

ALTER TABLE api_token
    ADD expires_at_ms bigint,              -- null: never
    ADD created_by uuid;                   -- person or key

-- Where a person may work, before one company is chosen.
CREATE FUNCTION companies_of_person(id uuid)
    RETURNS TABLE (company_id uuid, name text, roles text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT c.company_id, c.name, m.roles
          FROM membership m JOIN company c ON c.company_id = m.company_id
          WHERE m.person_id = id AND m.disabled_at_ms IS NULL ORDER BY c.name $$;

-- Every company with its name, for those who answer for the hub.
CREATE FUNCTION company_names()
    RETURNS TABLE (company_id uuid, name text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id, name FROM company ORDER BY name $$;

DROP FUNCTION caller_of_token(bytea);
CREATE FUNCTION caller_of_token(hash bytea, now_ms bigint)
    RETURNS TABLE (company_id uuid, token_id uuid, scopes text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id, token_id, scopes FROM api_token
          WHERE token_hash = hash AND revoked_at_ms IS NULL
              AND (expires_at_ms IS NULL OR expires_at_ms > now_ms) $$;

DO $$
BEGIN
    EXECUTE format(
        'CREATE POLICY owner_look_up ON membership FOR SELECT TO %I USING (true)', current_user
    );
END
$$;

SELECT protect_tenant_tables();
