DROP TABLE aggregation_runs;
