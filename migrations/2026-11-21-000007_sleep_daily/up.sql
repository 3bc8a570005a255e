-- The figures of sleep. As all others, a pure function of the raw rows, the profile and the
-- catalogue.

CREATE TABLE sleep_daily (
    user_id bigint NOT NULL,
    local_date date NOT NULL,
    asleep_minutes double precision,
    core_minutes double precision,
    deep_minutes double precision,
    rem_minutes double precision,
    unspecified_minutes double precision,
    awake_minutes double precision,
    in_bed_minutes double precision,
    efficiency double precision,
    main_start timestamptz,
    main_end timestamptz,
    nap_count integer NOT NULL,
    nap_minutes double precision,
    segment_count integer NOT NULL,
    sources jsonb NOT NULL,
    primary_source text,
    rejected_count integer NOT NULL,
    time_zone text NOT NULL,
    day_start timestamptz NOT NULL,
    day_end timestamptz NOT NULL,
    is_partial boolean NOT NULL,
    reach_start timestamptz NOT NULL,
    reach_end timestamptz NOT NULL,
    context_fingerprint bigint NOT NULL,
    algorithm_version integer NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, local_date)
);
COMMENT ON TABLE sleep_daily IS 'Sleep by the local date of waking: sessions, joined over gaps of at most 2 hours, count on the date on which they end. Figures are of all sessions, naps too. NULL is what the sources cannot know, which is not 0.';
COMMENT ON COLUMN sleep_daily.asleep_minutes IS 'Time in core, deep, REM or unspecified sleep, nothing twice; NULL if the sources only know of the bed';
COMMENT ON COLUMN sleep_daily.core_minutes IS 'Core (light) sleep; NULL, as deep and REM sleep, if no source tells stages';
COMMENT ON COLUMN sleep_daily.unspecified_minutes IS 'Asleep, the stage not known';
COMMENT ON COLUMN sleep_daily.awake_minutes IS 'Awake within sessions; NULL if no source tells stages or when its owner was awake';
COMMENT ON COLUMN sleep_daily.in_bed_minutes IS 'In bed or asleep; of a session without rows of the bed, from its first segment to its last';
COMMENT ON COLUMN sleep_daily.efficiency IS 'asleep_minutes / in_bed_minutes, from 0 to 1';
COMMENT ON COLUMN sleep_daily.main_start IS 'Begin of the main session: the one with the longest sleep, then the longest time in bed, then the earliest';
COMMENT ON COLUMN sleep_daily.nap_count IS 'Other sessions with any sleep in them';
COMMENT ON COLUMN sleep_daily.nap_minutes IS 'Time asleep in naps; asleep_minutes contains it';
COMMENT ON COLUMN sleep_daily.segment_count IS 'Raw rows that count: those of the best source of each time';
COMMENT ON COLUMN sleep_daily.sources IS 'Segments that count, by source';
COMMENT ON COLUMN sleep_daily.primary_source IS 'The source of the main session';
COMMENT ON COLUMN sleep_daily.rejected_count IS 'Raw rows that start on this day and were rejected; see rejected_rows';
COMMENT ON COLUMN sleep_daily.time_zone IS 'The zone of the day''s bounds: the one that all its rows share, else the profile''s';
COMMENT ON COLUMN sleep_daily.is_partial IS 'The day had not ended when it was computed';
COMMENT ON COLUMN sleep_daily.reach_start IS 'A raw row that lies wholly before reach_start or after reach_end does not change this day';
COMMENT ON COLUMN sleep_daily.context_fingerprint IS 'Digest of zone, source order, catalogue entries and algorithm; a day stored under another one is computed again with all its sessions';
