WITH near AS MATERIALIZED (
SELECT DISTINCT d.local_date, d.day_start, d.day_end
FROM (SELECT :user_id AS user_id, :kind::text AS kind, :date::date AS local_date)
         AS asked
JOIN (SELECT 'nutrition' AS kind, user_id, local_date, day_start, day_end
      FROM nutrition_daily
      UNION ALL
      SELECT 'labs', user_id, local_date, day_start, day_end
      FROM lab_daily) AS d
  ON d.kind = asked.kind AND d.user_id = asked.user_id
 AND d.local_date <> asked.local_date
 AND d.local_date BETWEEN asked.local_date - 2 AND asked.local_date + 2
)
SELECT DISTINCT near.local_date
FROM near
WHERE EXISTS (SELECT FROM unnest(:instants::timestamptz[]) AS instant
              WHERE instant >= near.day_start AND instant < near.day_end)
