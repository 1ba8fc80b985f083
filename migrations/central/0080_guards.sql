-- Functions that act as their owner see every company: only the hub's own role may call them.

-- Puts every tenant table that is not yet protected under forced row-level security, lets the app
-- role work on it, and keeps everybody else from the functions that act as their owner. Each later
-- migration ends with SELECT protect_tenant_tables().
CREATE OR REPLACE FUNCTION protect_tenant_tables() RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    tenant_table text;
    definer text;
BEGIN
    FOR tenant_table IN
        SELECT c.relname FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id'
        WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
            AND NOT c.relforcerowsecurity
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY tenant ON %I USING (company_id = (SELECT current_company()))'
            ' WITH CHECK (company_id = (SELECT current_company()))',
            tenant_table
        );
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO mwimule_app', tenant_table);
    END LOOP;
    FOR definer IN
        SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.prosecdef AND p.pronamespace = 'public'::regnamespace
            AND has_function_privilege('public', p.oid, 'EXECUTE')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', definer);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO mwimule_app', definer);
    END LOOP;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO mwimule_app;
END
$$;
REVOKE EXECUTE ON FUNCTION protect_tenant_tables() FROM PUBLIC;

SELECT protect_tenant_tables();
