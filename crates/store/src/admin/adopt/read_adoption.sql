SELECT a.id, a.kind, a.mapping, a.state, a.up_to
FROM pg_trigger AS t
JOIN pg_proc AS p ON p.oid = t.tgfoid AND p.pronamespace = quote_ident(current_schema())::regnamespace
JOIN adopted_tables AS a ON p.proname = 'adopted_' || a.id::text
WHERE t.tgrelid = to_regclass(:table)
LIMIT 1
