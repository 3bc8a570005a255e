DROP VIEW lab_weekly;
DROP VIEW nutrition_weekly;
DROP VIEW vitals_weekly;
DROP VIEW lab_monthly;
DROP VIEW nutrition_monthly;
DROP VIEW vitals_monthly;
