SELECT string_agg(needed.privilege, ', ' ORDER BY needed.place), 'TABLE',
       format('%I.%I', (SELECT nspname FROM pg_namespace AS n WHERE n.oid = c.relnamespace), c.relname)
FROM unnest(:tables::text[], :rights::text[])
         WITH ORDINALITY AS needed (name, privilege, place)
JOIN pg_class AS c ON c.oid = to_regclass(needed.name)
WHERE NOT has_table_privilege(c.oid, needed.privilege)
GROUP BY c.oid, c.relnamespace, c.relname
UNION ALL
SELECT 'EXECUTE', 'FUNCTION', format('%I.%I(%s)', (SELECT nspname FROM pg_namespace AS n WHERE n.oid = p.pronamespace),
       p.proname, pg_get_function_identity_arguments(p.oid))
FROM pg_proc AS p
WHERE p.oid IN (to_regprocedure('aggregation_datable(timestamptz)'),
                to_regprocedure('aggregation_end(timestamptz, timestamptz)'),
                to_regprocedure('aggregation_fail(text, text)'),
                to_regprocedure('figure_changes_since(text, integer)'))
  AND NOT has_function_privilege(p.oid, 'EXECUTE')
ORDER BY 3
