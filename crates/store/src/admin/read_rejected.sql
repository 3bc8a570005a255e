SELECT r.kind, r.reason, left(v.metric, 100), count(*)
FROM (SELECT kind, reason, user_id, raw_id FROM rejected_rows LIMIT :most) AS r
LEFT JOIN vitals_raw AS v ON r.kind = 'vitals' AND v.user_id = r.user_id AND v.id = r.raw_id
GROUP BY 1, 2, 3
ORDER BY count(*) DESC, 1, 2, 3
LIMIT :limit
