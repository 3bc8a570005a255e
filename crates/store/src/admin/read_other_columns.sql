SELECT needed.relation, needed.name, format_type(t.oid, NULL)
FROM unnest(:tables::text[], :columns::text[], :categories::text[])
         AS needed (relation, name, category)
LEFT JOIN pg_attribute AS a
  ON a.attrelid = to_regclass(needed.relation) AND a.attname = needed.name
 AND NOT a.attisdropped
LEFT JOIN pg_type AS t ON t.oid = a.atttypid
WHERE to_regclass(needed.relation) IS NOT NULL
  AND (t.oid IS NULL
       OR (t.typcategory <> CASE needed.category
                                WHEN 'user' THEN (SELECT k.typcategory FROM pg_type AS k WHERE k.oid = to_regtype('user_key'))
                                ELSE needed.category::"char"
                            END
           AND NOT (needed.category = 'S' AND t.typcategory IN ('E', 'U')))
       OR (needed.category = 'D' AND t.oid <> 'timestamptz'::regtype))
