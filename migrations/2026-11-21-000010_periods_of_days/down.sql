DROP VIEW sleep_weekly, sleep_monthly;
DROP VIEW blood_pressure_weekly, blood_pressure_monthly;
DROP VIEW glucose_weekly, glucose_monthly;
