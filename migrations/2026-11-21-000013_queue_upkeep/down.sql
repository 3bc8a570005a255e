ALTER TABLE aggregation_queue RESET (fillfactor, autovacuum_vacuum_cost_delay, vacuum_truncate);
