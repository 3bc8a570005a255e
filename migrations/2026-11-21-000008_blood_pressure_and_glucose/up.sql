-- Figures of blood pressure and glucose beside their hours and days in vitals_daily.

CREATE TABLE blood_pressure_daily (
    user_id bigint NOT NULL,
    local_date date NOT NULL,
    pair_count integer NOT NULL,
    unpaired_count integer NOT NULL,
    censored_count integer NOT NULL,
    systolic_mean double precision,
    systolic_min double precision,
    systolic_max double precision,
    diastolic_mean double precision,
    diastolic_min double precision,
    diastolic_max double precision,
    mean_arterial_pressure double precision,
    worst_category text,
    rejected_count integer NOT NULL,
    sources jsonb NOT NULL,
    time_zone text NOT NULL,
    day_start timestamptz NOT NULL,
    day_end timestamptz NOT NULL,
    is_partial boolean NOT NULL,
    context_fingerprint bigint NOT NULL,
    algorithm_version integer NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, local_date)
);
COMMENT ON TABLE blood_pressure_daily IS 'Measurements of each local day, in mmHg: a systolic and a diastolic row of one source at most 5 s apart are a pair, nearest first, each row used once. Every single row is in vitals_daily, with a partner or without.';
COMMENT ON COLUMN blood_pressure_daily.pair_count IS 'Pairs whose systolic row falls on this day';
COMMENT ON COLUMN blood_pressure_daily.unpaired_count IS 'Accepted rows of this day, systolic and diastolic, without a partner; they are in no other figure';
COMMENT ON COLUMN blood_pressure_daily.censored_count IS 'Pairs of which a value is only a bound (comparator); they count in pair_count, sources and worst_category, but not in the means, minima and maxima';
COMMENT ON COLUMN blood_pressure_daily.systolic_mean IS 'mmHg, over the pairs without a comparator, as are all the means, minima and maxima; NULL without such a pair';
COMMENT ON COLUMN blood_pressure_daily.mean_arterial_pressure IS 'mmHg: the mean over the pairs of (systolic + 2 diastolic) / 3';
COMMENT ON COLUMN blood_pressure_daily.worst_category IS 'The worst category of the pairs: normal, elevated, stage_1, stage_2 (ACC/AHA 2017: Whelton et al., Hypertension 2018;71:e13, table 6), or severe. Severe is above 180 systolic or above 120 diastolic. NULL without a pair';
COMMENT ON COLUMN blood_pressure_daily.rejected_count IS 'Raw rows of either metric that start on this day and were rejected; see rejected_rows';
COMMENT ON COLUMN blood_pressure_daily.sources IS 'Pairs by source';
COMMENT ON COLUMN blood_pressure_daily.time_zone IS 'The zone of the day''s bounds: the one that all its rows share, else the profile''s';
COMMENT ON COLUMN blood_pressure_daily.is_partial IS 'The day had not ended when it was computed';
COMMENT ON COLUMN blood_pressure_daily.context_fingerprint IS 'Digest of zone, source order, the catalogue''s entries of both metrics, and algorithm';

CREATE TABLE glucose_daily (
    user_id bigint NOT NULL,
    local_date date NOT NULL,
    sample_count integer NOT NULL,
    censored_count integer NOT NULL,
    mean double precision,
    stddev double precision,
    cv_percent double precision,
    gmi_percent double precision,
    ea1c_percent double precision,
    j_index double precision,
    below_54_percent double precision,
    below_70_percent double precision,
    from_70_to_180_percent double precision,
    from_70_to_140_percent double precision,
    above_180_percent double precision,
    above_250_percent double precision,
    glycemia_risk_index double precision,
    low_episodes integer,
    high_episodes integer,
    coverage_percent double precision,
    is_sufficient boolean NOT NULL,
    rejected_count integer NOT NULL,
    sources jsonb NOT NULL,
    time_zone text NOT NULL,
    day_start timestamptz NOT NULL,
    day_end timestamptz NOT NULL,
    is_partial boolean NOT NULL,
    context_fingerprint bigint NOT NULL,
    algorithm_version integer NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, local_date)
);
COMMENT ON TABLE glucose_daily IS 'Glucose of each local day in mg/dL: the measures of the consensus on continuous glucose monitoring (Danne et al., Diabetes Care 2017;40:1631; Battelino et al., Diabetes Care 2019;42:1593)';
COMMENT ON COLUMN glucose_daily.sample_count IS 'Readings without a comparator, on which mean, stddev and what follows from them rest';
COMMENT ON COLUMN glucose_daily.censored_count IS 'Readings with a comparator (the sensor''s Low or High), which lie just beyond their value in the percentages, the episodes, the risk index and the coverage';
COMMENT ON COLUMN glucose_daily.mean IS 'mg/dL';
COMMENT ON COLUMN glucose_daily.stddev IS 'mg/dL: sample standard deviation (n - 1); NULL for a single reading';
COMMENT ON COLUMN glucose_daily.cv_percent IS 'Coefficient of variation: 100 stddev / mean';
COMMENT ON COLUMN glucose_daily.gmi_percent IS 'Glucose management indicator: 3.31 + 0.02392 mean (Bergenstal et al., Diabetes Care 2018;41:2275)';
COMMENT ON COLUMN glucose_daily.ea1c_percent IS 'Estimated HbA1c (NGSP): (46.7 + mean) / 28.7 (Nathan et al., Diabetes Care 2008;31:1473)';
COMMENT ON COLUMN glucose_daily.j_index IS '0.001 (mean + stddev)^2 (Wojcicki, Horm Metab Res 1995;27:41)';
COMMENT ON COLUMN glucose_daily.below_54_percent IS 'Percent of readings, those with a comparator among them; NULL without a reading';
COMMENT ON COLUMN glucose_daily.below_70_percent IS 'Those below 54 among them';
COMMENT ON COLUMN glucose_daily.from_70_to_180_percent IS 'Time in range, both ends in';
COMMENT ON COLUMN glucose_daily.from_70_to_140_percent IS 'Time in tight range, both ends in';
COMMENT ON COLUMN glucose_daily.above_180_percent IS 'Those above 250 among them';
COMMENT ON COLUMN glucose_daily.glycemia_risk_index IS '3.0 VLow + 2.4 Low + 1.6 VHigh + 0.8 High, at most 100. They are the percent of readings below 54, from 54 to below 70, above 250, and above 180 up to 250 (Klonoff et al., J Diabetes Sci Technol 2023;17:1226)';
COMMENT ON COLUMN glucose_daily.low_episodes IS 'Below 70 mg/dL for at least 15 minutes; it counts on the date on which it begins. NULL where none begins and no source has readings of two instants';
COMMENT ON COLUMN glucose_daily.high_episodes IS 'Above 180 mg/dL, likewise';
COMMENT ON COLUMN glucose_daily.coverage_percent IS 'Readings in percent of those that the day''s median interval lets expect, 100 at most; NULL where no source has readings of two instants';
COMMENT ON COLUMN glucose_daily.is_sufficient IS 'coverage_percent is at least 70';
COMMENT ON COLUMN glucose_daily.rejected_count IS 'Raw rows that start on this day and were rejected; see rejected_rows';
COMMENT ON COLUMN glucose_daily.sources IS 'Readings without a comparator, by source';
COMMENT ON COLUMN glucose_daily.time_zone IS 'The zone of the day''s bounds: the one that all its rows share, else the profile''s';
COMMENT ON COLUMN glucose_daily.is_partial IS 'The day had not ended when it was computed';
COMMENT ON COLUMN glucose_daily.context_fingerprint IS 'Digest of zone, source order, the catalogue''s entry and algorithm';
