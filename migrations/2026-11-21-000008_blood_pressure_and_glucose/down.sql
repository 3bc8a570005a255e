DROP TABLE glucose_daily;
DROP TABLE blood_pressure_daily;
