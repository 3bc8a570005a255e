DROP TABLE lab_raw;
DROP TABLE nutrition_raw;
DROP TABLE vitals_raw;
DROP TABLE user_profiles;
