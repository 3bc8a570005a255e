SELECT current_schema()::text,
       (SELECT reset_val FROM pg_settings WHERE name = 'search_path'),
       coalesce(current_schema() <> 'public'
                AND current_setting('dayfold.path_source', true)
                    NOT IN ('default', 'configuration file'), false),
       quote_ident(current_user),
       quote_ident(current_database()),
       to_regclass('__diesel_schema_migrations') IS NOT NULL,
       ARRAY(SELECT n.nspname::text
             FROM pg_namespace AS n
             WHERE n.nspname <> coalesce(current_schema(), '') AND n.nspname NOT LIKE 'pg\_%'
               AND (current_schema() IS NOT NULL OR has_schema_privilege(n.oid, 'USAGE'))
               AND (SELECT count(*) FROM pg_class AS c
                    WHERE c.relnamespace = n.oid
                      AND c.relname IN ('aggregation_queue', 'vitals_raw')) = 2
             ORDER BY 1),
       ARRAY(SELECT c.relname::text
             FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE n.nspname = current_schema() AND c.relname = ANY (:names::text[])
             ORDER BY 1)
