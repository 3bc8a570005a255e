SELECT quote_ident(current_schema()),
       (SELECT format_type(CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END, NULL)
        FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
        WHERE a.attrelid = to_regclass('user_profiles') AND a.attname = 'user_id'),
       EXISTS (SELECT FROM vitals_raw), EXISTS (SELECT FROM nutrition_raw), EXISTS (SELECT FROM lab_raw),
       :zone = '' OR EXISTS (SELECT FROM pg_timezone_names WHERE name = :zone),
       (SELECT coalesce(max(id), 0) + 1 FROM adopted_tables)
