-- What a target that is a Supabase project holds already, in names as pg_restore lists them. One row.
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'supabase_admin')
         AND EXISTS (SELECT FROM pg_namespace WHERE nspname = 'auth') AS "supabase",
       ARRAY(SELECT nspname::text FROM pg_namespace) AS "schemas",
       ARRAY(SELECT extname::text FROM pg_extension) AS "extensions",
       ARRAY(SELECT evtname::text FROM pg_event_trigger) AS "eventTriggers",
       ARRAY(SELECT pubname::text FROM pg_publication) AS "publications",
       ARRAY(SELECT n.nspname || '.' || c.relname || ' ' || t.tgname
               FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE NOT t.tgisinternal ORDER BY t.oid) AS "triggers",
       -- What each of those runs, in the same order.
       ARRAY(SELECT n.nspname || '.' || p.proname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
              WHERE NOT t.tgisinternal ORDER BY t.oid) AS "triggerFunctions",
       ARRAY(SELECT n.nspname || '.' || c.relname || ' ' || p.polname
               FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace) AS "policies",
       ARRAY(SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname !~ '^pg_') AS "relations",
       ARRAY(SELECT DISTINCT n.nspname || '.' || p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
              WHERE n.nspname !~ '^pg_') AS "functions",
       -- Whom ALTER ... OWNER TO may name. Before 16 every membership allows SET ROLE.
       ARRAY(SELECT rolname::text FROM pg_roles
              WHERE pg_has_role(current_user, oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)) AS "owners";
