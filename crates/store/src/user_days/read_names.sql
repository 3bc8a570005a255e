SELECT loinc_code::text, test_name::text, specimen::text
FROM lab_raw
WHERE user_id = :user_id
  AND collected_at BETWEEN :from - interval '27 hours' AND :to + interval '27 hours'
  AND octet_length(test_name::text) <= 4096
  AND coalesce(octet_length(loinc_code::text), 0) <= 1024
  AND coalesce(octet_length(specimen::text), 0) <= 4096
GROUP BY loinc_code, test_name, specimen
ORDER BY max(collected_at), loinc_code, test_name, specimen
