SELECT kind, reason, count(*)
FROM (SELECT :user_id AS user_id, :from::timestamptz AS first, :to::timestamptz AS behind) AS asked
JOIN rejected_rows AS rejected USING (user_id)
WHERE CASE kind
          WHEN 'vitals' THEN EXISTS (
              SELECT FROM vitals_raw AS r
              WHERE r.user_id = asked.user_id AND r.id = rejected.raw_id
                AND r.started_at >= first AND r.started_at < behind)
          WHEN 'nutrition' THEN EXISTS (
              SELECT FROM nutrition_raw AS r
              WHERE r.user_id = asked.user_id AND r.id = rejected.raw_id
                AND r.eaten_at >= first AND r.eaten_at < behind)
          ELSE EXISTS (
              SELECT FROM lab_raw AS r
              WHERE r.user_id = asked.user_id AND r.id = rejected.raw_id
                AND r.collected_at >= first AND r.collected_at < behind)
      END
GROUP BY kind, reason
ORDER BY kind DESC, reason
