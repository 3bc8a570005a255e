CREATE OR REPLACE FUNCTION aggregation_end(started_at timestamptz, ended_at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN isfinite(started_at) AND ended_at >= started_at
         AND aggregation_datable(ended_at) <= aggregation_datable(started_at) + interval '48 hours'
    THEN aggregation_datable(ended_at)
    ELSE aggregation_datable(started_at)
END;
