DROP INDEX aggregation_queue_failed;
DROP TABLE operator_actions, worker_throttle, paused_kinds, worker_presence;
