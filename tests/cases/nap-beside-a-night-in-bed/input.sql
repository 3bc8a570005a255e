-- A phone sees its owner in bed at night, a watch sees a nap: the efficiency of the night is unknown.
INSERT INTO vitals_raw(user_id,metric,value,unit,source,started_at,ended_at) VALUES
 (1,'sleep_in_bed',0,'','phone','2026-03-01 23:00Z','2026-03-02 07:00Z'),
 (1,'sleep_asleep',0,'','watch','2026-03-02 14:00Z','2026-03-02 15:00Z');
