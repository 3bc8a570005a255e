-- The end of a raw row's interval, as a part of the statement that asks for it.
--
-- A timestamp plus an interval is not immutable: an interval's days follow the session's time zone. So
-- the planner did not take the function apart, which calls itself immutable, and the triggers called it
-- for each row. It took about as long as writing the row of the queue and its index entries. The
-- difference of two timestamps is immutable, and 48 hours of it are 48 hours in every zone.
--
-- An instant ends where it starts, so its end is not reckoned at all.
--
-- Nothing waits for this: no table is locked. Sessions that are there use it from their next change on.
CREATE OR REPLACE FUNCTION aggregation_end(started_at timestamptz, ended_at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN ended_at > started_at AND isfinite(started_at)
         AND aggregation_datable(ended_at) - aggregation_datable(started_at) <= interval '48 hours'
    THEN aggregation_datable(ended_at)
    ELSE aggregation_datable(started_at)
END;
