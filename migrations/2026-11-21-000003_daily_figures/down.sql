DROP TABLE lab_daily;
DROP TABLE nutrition_daily;
DROP TABLE vitals_daily;
DROP TABLE vitals_hourly;
