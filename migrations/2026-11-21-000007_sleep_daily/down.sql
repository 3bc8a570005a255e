DROP TABLE sleep_daily;
