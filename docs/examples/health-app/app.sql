-- The tables of a health app before it adopts Dayfold, as far as they matter here. Its API writes the raw tables.
-- Its own worker reads them, writes the aggregates and sets the status columns. Times are local times of
-- Asia/Kolkata without a zone.

CREATE TABLE users (id serial PRIMARY KEY);

CREATE TABLE vitals_raw_data (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES users ON DELETE CASCADE,
    metric_type varchar NOT NULL,
    value double precision NOT NULL,
    unit varchar NOT NULL,
    start_date timestamp NOT NULL,
    end_date timestamp NOT NULL,
    data_source varchar NOT NULL,
    source_device varchar,
    notes text,
    confidence_score double precision,
    aggregation_status varchar(20) NOT NULL DEFAULT 'pending',
    aggregated_at timestamp,
    created_at timestamp DEFAULT (now() AT TIME ZONE 'Asia/Kolkata'),
    updated_at timestamp DEFAULT (now() AT TIME ZONE 'Asia/Kolkata')
);
CREATE UNIQUE INDEX vitals_raw_data_once
    ON vitals_raw_data (user_id, metric_type, unit, start_date, data_source, coalesce(notes, ''));

CREATE TABLE nutrition_raw_data (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES users ON DELETE CASCADE,
    food_item_name varchar NOT NULL,
    dish_name varchar,
    dish_type varchar,
    meal_type varchar NOT NULL,
    portion_size double precision NOT NULL,
    portion_unit varchar NOT NULL,
    calories double precision NOT NULL,
    protein_g double precision DEFAULT 0,
    fat_g double precision DEFAULT 0,
    carbs_g double precision DEFAULT 0,
    fiber_g double precision DEFAULT 0,
    sugar_g double precision DEFAULT 0,
    sodium_mg double precision DEFAULT 0,
    vitamin_a_mcg double precision DEFAULT 0,
    vitamin_c_mg double precision DEFAULT 0,
    vitamin_d_mcg double precision DEFAULT 0,
    vitamin_e_mg double precision DEFAULT 0,
    vitamin_k_mcg double precision DEFAULT 0,
    vitamin_b1_mg double precision DEFAULT 0,
    vitamin_b2_mg double precision DEFAULT 0,
    vitamin_b3_mg double precision DEFAULT 0,
    vitamin_b6_mg double precision DEFAULT 0,
    vitamin_b12_mcg double precision DEFAULT 0,
    folate_mcg double precision DEFAULT 0,
    calcium_mg double precision DEFAULT 0,
    iron_mg double precision DEFAULT 0,
    magnesium_mg double precision DEFAULT 0,
    phosphorus_mg double precision DEFAULT 0,
    potassium_mg double precision DEFAULT 0,
    zinc_mg double precision DEFAULT 0,
    copper_mg double precision DEFAULT 0,
    manganese_mg double precision DEFAULT 0,
    selenium_mcg double precision DEFAULT 0,
    meal_date date NOT NULL,
    meal_time timestamp NOT NULL,
    data_source varchar NOT NULL,
    confidence_score double precision,
    image_url text,
    notes text,
    aggregation_status varchar(20) NOT NULL DEFAULT 'pending',
    aggregated_at timestamp,
    created_at timestamp DEFAULT (now() AT TIME ZONE 'Asia/Kolkata'),
    updated_at timestamp DEFAULT (now() AT TIME ZONE 'Asia/Kolkata')
);

CREATE TABLE lab_reports (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES users ON DELETE CASCADE,
    test_name varchar(255) NOT NULL,
    test_category varchar(100),
    test_value varchar(100),
    test_unit varchar(50),
    reference_range varchar(100),
    test_status varchar(20),
    lab_name varchar,
    test_date date NOT NULL,
    report_date date,
    test_notes text,
    categorization_status varchar(20) DEFAULT 'pending',
    created_at timestamp DEFAULT (now() AT TIME ZONE 'Asia/Kolkata'),
    updated_at timestamp DEFAULT (now() AT TIME ZONE 'Asia/Kolkata')
);
-- The app's categorizer copies each report into this table with codes. Its aggregation reads this table.
CREATE TABLE lab_report_categorized (
    id serial PRIMARY KEY,
    user_id integer NOT NULL REFERENCES users ON DELETE CASCADE,
    test_name varchar(255) NOT NULL,
    test_code varchar(50),
    loinc_code varchar(20),
    test_category varchar(100),
    inferred_test_category varchar(100),
    test_value varchar(100),
    test_unit varchar(50),
    reference_range varchar(100),
    test_status varchar(20),
    lab_name varchar,
    test_date date NOT NULL,
    report_date date,
    test_notes text,
    aggregation_status varchar(20) NOT NULL DEFAULT 'pending',
    created_at timestamp DEFAULT (now() AT TIME ZONE 'Asia/Kolkata'),
    updated_at timestamp DEFAULT (now() AT TIME ZONE 'Asia/Kolkata')
);

-- The aggregates. Tables of one kind differ in their period only, so that they are made from one text here.
DO $$
DECLARE
    period text;
    nutrients text[] := ARRAY['protein_g', 'fat_g', 'carbs_g', 'fiber_g', 'sugar_g', 'sodium_mg', 'vitamin_a_mcg',
        'vitamin_c_mg', 'vitamin_d_mcg', 'vitamin_e_mg', 'vitamin_k_mcg', 'vitamin_b1_mg', 'vitamin_b2_mg',
        'vitamin_b3_mg', 'vitamin_b6_mg', 'vitamin_b12_mcg', 'folate_mcg', 'calcium_mg', 'iron_mg', 'magnesium_mg',
        'phosphorus_mg', 'potassium_mg', 'zinc_mg', 'copper_mg', 'manganese_mg', 'selenium_mcg'];
    stamps text := 'created_at timestamp DEFAULT (now() AT TIME ZONE ''Asia/Kolkata''),
                    updated_at timestamp DEFAULT (now() AT TIME ZONE ''Asia/Kolkata'')';
    head text := 'id serial PRIMARY KEY, user_id integer NOT NULL REFERENCES users ON DELETE CASCADE, ';
BEGIN
    FOR period IN SELECT unnest(ARRAY['hourly', 'daily', 'weekly', 'monthly']) LOOP
        EXECUTE format('CREATE TABLE vitals_%s_aggregates (%s metric_type varchar NOT NULL, loinc_code varchar, %s,
            total_value double precision, average_value double precision, min_value double precision,
            max_value double precision, %s, unit varchar, primary_source varchar, sources_included text, notes text, %s)',
            period, head,
            CASE period WHEN 'hourly' THEN 'hour_start timestamp NOT NULL' WHEN 'daily' THEN 'date date NOT NULL'
                WHEN 'weekly' THEN 'week_start_date date NOT NULL, week_end_date date NOT NULL'
                ELSE 'year integer NOT NULL, month integer NOT NULL' END,
            CASE WHEN period IN ('hourly', 'daily') THEN 'count integer, duration_minutes double precision'
                ELSE 'days_with_data integer, total_duration_minutes double precision' END, stamps);
    END LOOP;
    FOR period IN SELECT unnest(ARRAY['weekly', 'monthly']) LOOP
        EXECUTE format('CREATE TABLE nutrition_%1$s_aggregates (%2$s %3$s, avg_daily_calories double precision, %4$s,
            total_%1$s_calories double precision, total_%1$s_meals integer, days_with_data integer, %5$s)',
            period, head,
            CASE period WHEN 'weekly' THEN 'week_start_date date NOT NULL, week_end_date date NOT NULL'
                ELSE 'year integer NOT NULL, month integer NOT NULL' END,
            (SELECT string_agg(format('avg_daily_%s double precision', n), ', ') FROM unnest(nutrients) AS n), stamps);
    END LOOP;
    EXECUTE format('CREATE TABLE nutrition_daily_aggregates (%s date date NOT NULL, total_calories double precision, %s,
        meal_count integer, breakfast_count integer, lunch_count integer, dinner_count integer, snack_count integer,
        breakfast_calories double precision, lunch_calories double precision, dinner_calories double precision,
        snack_calories double precision, primary_source varchar, sources_included text, %s)',
        head, (SELECT string_agg(format('total_%s double precision', n), ', ') FROM unnest(nutrients) AS n), stamps);
    FOR period IN SELECT unnest(ARRAY['daily', 'monthly', 'quarterly', 'yearly']) LOOP
        EXECUTE format('CREATE TABLE lab_reports_%s (%s %s, test_name varchar(255) NOT NULL, test_code varchar(50),
            loinc_code varchar(20), test_category varchar(100) NOT NULL, avg_value varchar(100), min_value varchar(100),
            max_value varchar(100), count integer, unit varchar(50), normal_range_min double precision,
            normal_range_max double precision, status varchar(20), %s)',
            period, head,
            CASE period WHEN 'daily' THEN 'date date NOT NULL' WHEN 'monthly' THEN 'year integer NOT NULL, month integer NOT NULL'
                WHEN 'quarterly' THEN 'year integer NOT NULL, quarter integer NOT NULL' ELSE 'year integer NOT NULL' END,
            stamps);
    END LOOP;
END $$;
