DROP VIEW activity_weekly, workouts_monthly, workouts_weekly, workouts_daily;
