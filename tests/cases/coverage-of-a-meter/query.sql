SELECT user_id, round(coverage_percent::numeric), is_sufficient FROM glucose_daily ORDER BY 1;
