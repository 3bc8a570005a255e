INSERT INTO aggregation_runs (
    started_at, command, worker, batches, rows_claimed, rows_completed, rows_rejected,
    rows_failed, rows_released, groups_committed, groups_failed, is_running)
VALUES (:started_at, :command, :worker, :batches, :rows_claimed, :rows_completed,
        :rows_rejected, :rows_failed, :rows_released, :groups_committed, :groups_failed,
        :is_running)
RETURNING id
