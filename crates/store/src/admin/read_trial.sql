SELECT has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
           AND has_table_privilege(c.oid, 'DELETE'),
       quote_ident(current_user), quote_ident(pg_get_userbyid(c.relowner)),
       coalesce((SELECT user_id FROM user_profiles ORDER BY user_id LIMIT 1),
                (SELECT user_id FROM vitals_raw ORDER BY user_id LIMIT 1),
                (SELECT user_id FROM nutrition_raw ORDER BY user_id LIMIT 1),
                (SELECT user_id FROM lab_raw ORDER BY user_id LIMIT 1))
FROM pg_class AS c
WHERE c.oid = to_regclass(:table)
