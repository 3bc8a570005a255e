-- The figures. Each is a pure function of the raw rows, the profile and the catalogue.

CREATE TABLE vitals_hourly (
    user_id bigint NOT NULL,
    local_date date NOT NULL,
    metric text NOT NULL,
    hour_start timestamptz NOT NULL,
    unit text NOT NULL,
    sample_count integer NOT NULL,
    total double precision,
    mean double precision,
    stddev double precision,
    min double precision,
    max double precision,
    first_value double precision,
    first_at timestamptz,
    last_value double precision,
    last_at timestamptz,
    p05 double precision,
    p25 double precision,
    p50 double precision,
    p75 double precision,
    p95 double precision,
    censored_count integer NOT NULL,
    rejected_count integer NOT NULL,
    sources jsonb NOT NULL,
    sum double precision,
    squared_deviations double precision,
    sketch bytea,
    time_zone text NOT NULL,
    PRIMARY KEY (user_id, local_date, metric, hour_start)
);
COMMENT ON TABLE vitals_hourly IS 'Figures of each local hour with rows, always computed from all raw rows of the hour; a day is the exact merge of its hours';
COMMENT ON COLUMN vitals_hourly.hour_start IS 'The instant at which the local hour begins; an autumn day has 25';
COMMENT ON COLUMN vitals_hourly.unit IS 'UCUM code of every figure of the row';
COMMENT ON COLUMN vitals_hourly.sample_count IS 'Samples behind the figures; an interval counts where it starts, and in the first hour of each later day it reaches';
COMMENT ON COLUMN vitals_hourly.sum IS 'Discrete metrics: sum of the samples, needed to merge hours exactly';
COMMENT ON COLUMN vitals_hourly.squared_deviations IS 'Discrete metrics: sum of the squared deviations from the mean, needed to merge hours exactly';
COMMENT ON COLUMN vitals_hourly.sketch IS 'Discrete metrics: DDSketch of the samples (relative error 1 %), needed to merge percentiles';
COMMENT ON COLUMN vitals_hourly.time_zone IS 'The zone that all rows of the hour share, else the profile''s';

CREATE TABLE vitals_daily (
    user_id bigint NOT NULL,
    local_date date NOT NULL,
    metric text NOT NULL,
    unit text NOT NULL,
    sample_count integer NOT NULL,
    total double precision,
    mean double precision,
    stddev double precision,
    min double precision,
    max double precision,
    first_value double precision,
    first_at timestamptz,
    last_value double precision,
    last_at timestamptz,
    p05 double precision,
    p25 double precision,
    p50 double precision,
    p75 double precision,
    p95 double precision,
    censored_count integer NOT NULL,
    rejected_count integer NOT NULL,
    sources jsonb NOT NULL,
    primary_source text,
    time_zone text NOT NULL,
    day_start timestamptz NOT NULL,
    day_end timestamptz NOT NULL,
    is_partial boolean NOT NULL,
    context_fingerprint bigint NOT NULL,
    algorithm_version integer NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, local_date, metric)
);
COMMENT ON TABLE vitals_daily IS 'Figures of each local day with rows. Cumulative metrics have a total only; discrete ones count, mean, spread, extremes and percentiles.';
COMMENT ON COLUMN vitals_daily.unit IS 'UCUM code of every figure of the row';
COMMENT ON COLUMN vitals_daily.total IS 'Cumulative metrics: nothing counts twice where sources overlap';
COMMENT ON COLUMN vitals_daily.stddev IS 'Sample standard deviation (n - 1); NULL for a single sample';
COMMENT ON COLUMN vitals_daily.p50 IS 'Median; percentiles come from a sketch with a relative error of at most 1 %';
COMMENT ON COLUMN vitals_daily.censored_count IS 'Samples out of the sensor''s range; they take no part in the other figures';
COMMENT ON COLUMN vitals_daily.rejected_count IS 'Raw rows that start on this day and were rejected; see rejected_rows';
COMMENT ON COLUMN vitals_daily.sources IS 'Samples by source';
COMMENT ON COLUMN vitals_daily.primary_source IS 'Cumulative: the best source by the profile''s order; discrete: the one with the greatest number of samples';
COMMENT ON COLUMN vitals_daily.time_zone IS 'The zone of the day''s bounds: the one that all its rows share, else the profile''s';
COMMENT ON COLUMN vitals_daily.is_partial IS 'The day had not ended when it was computed';
COMMENT ON COLUMN vitals_daily.context_fingerprint IS 'Digest of zone, source order, catalogue entry and algorithm; a day stored under another one is computed again from all its raw rows';

CREATE TABLE nutrition_daily (
    user_id bigint NOT NULL,
    local_date date NOT NULL,
    item_count integer NOT NULL,
    rejected_count integer NOT NULL,
    energy_kcal double precision,
    protein_g double precision,
    fat_g double precision,
    carbohydrate_g double precision,
    fiber_g double precision,
    sugar_g double precision,
    sodium_mg double precision,
    saturated_fat_g double precision,
    cholesterol_mg double precision,
    alcohol_g double precision,
    water_g double precision,
    caffeine_mg double precision,
    vitamin_a_ug double precision,
    vitamin_c_mg double precision,
    vitamin_d_ug double precision,
    vitamin_e_mg double precision,
    vitamin_k_ug double precision,
    thiamin_mg double precision,
    riboflavin_mg double precision,
    niacin_mg double precision,
    vitamin_b6_mg double precision,
    vitamin_b12_ug double precision,
    folate_ug double precision,
    calcium_mg double precision,
    iron_mg double precision,
    magnesium_mg double precision,
    phosphorus_mg double precision,
    potassium_mg double precision,
    zinc_mg double precision,
    copper_mg double precision,
    manganese_mg double precision,
    selenium_ug double precision,
    breakfast_count integer NOT NULL,
    breakfast_energy_kcal double precision,
    lunch_count integer NOT NULL,
    lunch_energy_kcal double precision,
    dinner_count integer NOT NULL,
    dinner_energy_kcal double precision,
    snack_count integer NOT NULL,
    snack_energy_kcal double precision,
    other_count integer NOT NULL,
    other_energy_kcal double precision,
    carbohydrate_kcal double precision,
    protein_kcal double precision,
    fat_kcal double precision,
    alcohol_kcal double precision,
    carbohydrate_percent double precision,
    protein_percent double precision,
    fat_percent double precision,
    alcohol_percent double precision,
    first_eaten_at timestamptz,
    last_eaten_at timestamptz,
    time_zone text NOT NULL,
    day_start timestamptz NOT NULL,
    day_end timestamptz NOT NULL,
    is_partial boolean NOT NULL,
    algorithm_version integer NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, local_date)
);
COMMENT ON TABLE nutrition_daily IS 'Sums of each nutrient over the local day; NULL where no row knows it, which is not 0';
COMMENT ON COLUMN nutrition_daily.rejected_count IS 'Raw rows of this day that were rejected; see rejected_rows';
COMMENT ON COLUMN nutrition_daily.carbohydrate_kcal IS 'Energy by macronutrients: 4, 4, 9 and 7 kcal per gram of carbohydrate, protein, fat and alcohol';
COMMENT ON COLUMN nutrition_daily.carbohydrate_percent IS 'Share of the energy by macronutrients; NULL unless carbohydrate, protein and fat are all known';
COMMENT ON COLUMN nutrition_daily.is_partial IS 'The day had not ended when it was computed';

CREATE TABLE lab_daily (
    user_id bigint NOT NULL,
    local_date date NOT NULL,
    analyte text NOT NULL,
    unit text NOT NULL,
    result_count integer NOT NULL,
    last_value double precision,
    last_comparator text,
    last_text text,
    last_at timestamptz NOT NULL,
    min double precision,
    max double precision,
    mean double precision,
    reference_low double precision,
    reference_high double precision,
    reference_text text,
    last_flag text,
    worst_flag text,
    time_zone text NOT NULL,
    day_start timestamptz NOT NULL,
    day_end timestamptz NOT NULL,
    is_partial boolean NOT NULL,
    algorithm_version integer NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, local_date, analyte, unit)
);
COMMENT ON TABLE lab_daily IS 'Results of each analyte and unit on each local day';
COMMENT ON COLUMN lab_daily.analyte IS 'LOINC code, else name: with the test''s name in lower case, and |specimen where there is one';
COMMENT ON COLUMN lab_daily.unit IS 'As reported; empty where the result has none';
COMMENT ON COLUMN lab_daily.last_value IS 'The last result where it is a number';
COMMENT ON COLUMN lab_daily.last_comparator IS '<, >, <= or >=: the last result is only a bound';
COMMENT ON COLUMN lab_daily.last_text IS 'The last result where it is not a number';
COMMENT ON COLUMN lab_daily.min IS 'Over the numeric results without comparator';
COMMENT ON COLUMN lab_daily.reference_low IS 'From the last result''s range; ranges belong to a result and are never averaged';
COMMENT ON COLUMN lab_daily.last_flag IS 'HH, H, N, L or LL: the laboratory''s own, else from the range';
COMMENT ON COLUMN lab_daily.is_partial IS 'The day had not ended when it was computed';
