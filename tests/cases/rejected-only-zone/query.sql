SELECT 'vitals', local_date, time_zone, day_start, day_end FROM vitals_daily WHERE metric = 'heart_rate'
UNION ALL SELECT 'nutrition', local_date, time_zone, day_start, day_end FROM nutrition_daily
UNION ALL SELECT 'sleep', local_date, time_zone, day_start, day_end FROM sleep_daily
UNION ALL SELECT 'blood_pressure', local_date, time_zone, day_start, day_end FROM blood_pressure_daily ORDER BY 1;
