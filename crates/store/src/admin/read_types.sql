SELECT (SELECT format_type(a.atttypid, NULL)
        FROM unnest(ARRAY['aggregation_queue', 'vitals_raw']) WITH ORDINALITY AS of (name, place)
        JOIN pg_attribute AS a ON a.attrelid = to_regclass(format('%I.%I', current_schema(), of.name))
                              AND a.attname = 'user_id' AND NOT a.attisdropped
        ORDER BY of.place LIMIT 1),
       current_setting('server_encoding')
