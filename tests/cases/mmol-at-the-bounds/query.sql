SELECT user_id, from_70_to_180_percent, above_250_percent, from_70_to_140_percent FROM glucose_daily ORDER BY 1;
