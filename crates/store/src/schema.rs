// @generated automatically by Diesel CLI.

diesel::table! {
    adopted_tables (id) {
        id -> Int4,
        app_table -> Text,
        kind -> Text,
        mapping -> Text,
        state -> Text,
        up_to -> Nullable<Int8>,
        adopted_at -> Timestamptz,
    }
}

diesel::table! {
    aggregation_queue (user_id, kind, starts_at, id) {
        not_before -> Timestamptz,
        lease_token -> Nullable<Int8>,
        lease_expires_at -> Nullable<Timestamptz>,
        attempts -> Int4,
        lost_leases -> Int4,
        dates_done -> Int4,
        state -> Text,
        user_id -> Int8,
        kind -> Text,
        starts_at -> Timestamptz,
        id -> Int8,
        ends_at -> Timestamptz,
        queued_at -> Timestamptz,
        whole_day -> Bool,
        metric -> Nullable<Text>,
        time_zone -> Nullable<Text>,
        raw_ids -> Array<Nullable<Int8>>,
        row_starts -> Nullable<Array<Nullable<Timestamptz>>>,
        row_ends -> Nullable<Array<Nullable<Timestamptz>>>,
        last_error -> Nullable<Text>,
    }
}

diesel::table! {
    aggregation_runs (id) {
        id -> Int8,
        started_at -> Timestamptz,
        finished_at -> Timestamptz,
        command -> Text,
        worker -> Text,
        batches -> Int4,
        rows_claimed -> Int8,
        rows_completed -> Int8,
        rows_rejected -> Int8,
        rows_failed -> Int8,
        rows_released -> Int8,
        groups_committed -> Int8,
        groups_failed -> Int8,
        is_running -> Bool,
    }
}

diesel::table! {
    alert_conditions (rule) {
        rule -> Text,
        fired_at -> Timestamptz,
        resolved_at -> Nullable<Timestamptz>,
        dead_rows -> Int8,
    }
}

diesel::table! {
    alert_outbox (id) {
        id -> Int8,
        channel -> Text,
        key -> Text,
        rule -> Text,
        fires -> Bool,
        worker -> Text,
        amount -> Float8,
        threshold -> Float8,
        happened_at -> Timestamptz,
        state -> Text,
        attempts -> Int4,
        not_before -> Timestamptz,
        lease_token -> Nullable<Int8>,
        last_error -> Nullable<Text>,
        lasted_seconds -> Float8,
    }
}

diesel::table! {
    blood_pressure_daily (user_id, local_date) {
        user_id -> Int8,
        local_date -> Date,
        pair_count -> Int4,
        unpaired_count -> Int4,
        censored_count -> Int4,
        systolic_mean -> Nullable<Float8>,
        systolic_min -> Nullable<Float8>,
        systolic_max -> Nullable<Float8>,
        diastolic_mean -> Nullable<Float8>,
        diastolic_min -> Nullable<Float8>,
        diastolic_max -> Nullable<Float8>,
        mean_arterial_pressure -> Nullable<Float8>,
        worst_category -> Nullable<Text>,
        rejected_count -> Int4,
        sources -> Jsonb,
        time_zone -> Text,
        day_start -> Timestamptz,
        day_end -> Timestamptz,
        is_partial -> Bool,
        context_fingerprint -> Int8,
        algorithm_version -> Int4,
        computed_at -> Timestamptz,
    }
}

diesel::table! {
    frozen_figures (is_only) {
        is_only -> Bool,
        frozen_before -> Date,
        frozen_at -> Timestamptz,
    }
}

diesel::table! {
    frozen_figures_of_users (user_id) {
        user_id -> Int8,
        frozen_before -> Date,
        frozen_at -> Timestamptz,
    }
}

diesel::table! {
    glucose_daily (user_id, local_date) {
        user_id -> Int8,
        local_date -> Date,
        sample_count -> Int4,
        censored_count -> Int4,
        mean -> Nullable<Float8>,
        stddev -> Nullable<Float8>,
        cv_percent -> Nullable<Float8>,
        gmi_percent -> Nullable<Float8>,
        ea1c_percent -> Nullable<Float8>,
        j_index -> Nullable<Float8>,
        below_54_percent -> Nullable<Float8>,
        below_70_percent -> Nullable<Float8>,
        from_70_to_180_percent -> Nullable<Float8>,
        from_70_to_140_percent -> Nullable<Float8>,
        above_180_percent -> Nullable<Float8>,
        above_250_percent -> Nullable<Float8>,
        glycemia_risk_index -> Nullable<Float8>,
        low_episodes -> Nullable<Int4>,
        high_episodes -> Nullable<Int4>,
        coverage_percent -> Nullable<Float8>,
        is_sufficient -> Nullable<Bool>,
        rejected_count -> Int4,
        sources -> Jsonb,
        time_zone -> Text,
        day_start -> Timestamptz,
        day_end -> Timestamptz,
        is_partial -> Bool,
        context_fingerprint -> Int8,
        algorithm_version -> Int4,
        computed_at -> Timestamptz,
    }
}

diesel::table! {
    lab_daily (user_id, local_date, analyte, unit) {
        user_id -> Int8,
        local_date -> Date,
        analyte -> Text,
        unit -> Text,
        result_count -> Int4,
        last_value -> Nullable<Float8>,
        last_comparator -> Nullable<Text>,
        last_text -> Nullable<Text>,
        last_at -> Timestamptz,
        min -> Nullable<Float8>,
        max -> Nullable<Float8>,
        mean -> Nullable<Float8>,
        reference_low -> Nullable<Float8>,
        reference_high -> Nullable<Float8>,
        reference_text -> Nullable<Text>,
        last_flag -> Nullable<Text>,
        worst_flag -> Nullable<Text>,
        time_zone -> Text,
        day_start -> Timestamptz,
        day_end -> Timestamptz,
        is_partial -> Bool,
        algorithm_version -> Int4,
        computed_at -> Timestamptz,
        delta -> Nullable<Float8>,
        delta_percent -> Nullable<Float8>,
        exact_count -> Nullable<Int4>,
        reported_value -> Nullable<Text>,
        reported_unit -> Nullable<Text>,
        reported_range -> Nullable<Text>,
        future_count -> Int4,
        context_fingerprint -> Nullable<Int8>,
    }
}

diesel::table! {
    operator_actions (id) {
        id -> Int8,
        begun_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
        actor -> Text,
        action -> Text,
        target -> Text,
        expected -> Nullable<Int8>,
        done -> Int8,
        state -> Text,
        outcome -> Nullable<Text>,
    }
}

diesel::table! {
    paused_kinds (kind) {
        kind -> Text,
        paused_at -> Timestamptz,
        paused_by -> Text,
    }
}

diesel::table! {
    rejected_rows (user_id, kind, raw_id) {
        user_id -> Int8,
        kind -> Text,
        raw_id -> Int8,
        reason -> Text,
        first_seen_at -> Timestamptz,
    }
}

diesel::table! {
    sleep_daily (user_id, local_date) {
        user_id -> Int8,
        local_date -> Date,
        asleep_minutes -> Nullable<Float8>,
        core_minutes -> Nullable<Float8>,
        deep_minutes -> Nullable<Float8>,
        rem_minutes -> Nullable<Float8>,
        unspecified_minutes -> Nullable<Float8>,
        awake_minutes -> Nullable<Float8>,
        in_bed_minutes -> Nullable<Float8>,
        efficiency -> Nullable<Float8>,
        main_start -> Nullable<Timestamptz>,
        main_end -> Nullable<Timestamptz>,
        nap_count -> Int4,
        nap_minutes -> Nullable<Float8>,
        segment_count -> Int4,
        sources -> Jsonb,
        primary_source -> Nullable<Text>,
        rejected_count -> Int4,
        time_zone -> Text,
        day_start -> Timestamptz,
        day_end -> Timestamptz,
        is_partial -> Bool,
        reach_start -> Timestamptz,
        reach_end -> Timestamptz,
        context_fingerprint -> Int8,
        algorithm_version -> Int4,
        computed_at -> Timestamptz,
        future_count -> Int4,
    }
}

diesel::table! {
    vitals_daily (user_id, local_date, metric) {
        user_id -> Int8,
        local_date -> Date,
        metric -> Text,
        unit -> Text,
        sample_count -> Int4,
        total -> Nullable<Float8>,
        mean -> Nullable<Float8>,
        stddev -> Nullable<Float8>,
        min -> Nullable<Float8>,
        max -> Nullable<Float8>,
        first_value -> Nullable<Float8>,
        first_at -> Nullable<Timestamptz>,
        last_value -> Nullable<Float8>,
        last_at -> Nullable<Timestamptz>,
        p05 -> Nullable<Float8>,
        p25 -> Nullable<Float8>,
        p50 -> Nullable<Float8>,
        p75 -> Nullable<Float8>,
        p95 -> Nullable<Float8>,
        censored_count -> Int4,
        rejected_count -> Int4,
        sources -> Jsonb,
        primary_source -> Nullable<Text>,
        time_zone -> Text,
        day_start -> Timestamptz,
        day_end -> Timestamptz,
        is_partial -> Bool,
        context_fingerprint -> Int8,
        algorithm_version -> Int4,
        computed_at -> Timestamptz,
        future_count -> Int4,
        by_workout_type -> Nullable<Jsonb>,
    }
}

diesel::table! {
    vitals_hourly (user_id, local_date, metric, hour_start) {
        user_id -> Int8,
        local_date -> Date,
        metric -> Text,
        hour_start -> Timestamptz,
        unit -> Text,
        sample_count -> Int4,
        total -> Nullable<Float8>,
        mean -> Nullable<Float8>,
        stddev -> Nullable<Float8>,
        min -> Nullable<Float8>,
        max -> Nullable<Float8>,
        first_value -> Nullable<Float8>,
        first_at -> Nullable<Timestamptz>,
        last_value -> Nullable<Float8>,
        last_at -> Nullable<Timestamptz>,
        p05 -> Nullable<Float8>,
        p25 -> Nullable<Float8>,
        p50 -> Nullable<Float8>,
        p75 -> Nullable<Float8>,
        p95 -> Nullable<Float8>,
        censored_count -> Int4,
        rejected_count -> Int4,
        sources -> Jsonb,
        sum -> Nullable<Float8>,
        squared_deviations -> Nullable<Float8>,
        sketch -> Nullable<Bytea>,
        time_zone -> Text,
        by_workout_type -> Nullable<Jsonb>,
    }
}

diesel::table! {
    worker_presence (worker) {
        worker -> Text,
        version -> Text,
        started_at -> Timestamptz,
        seen_at -> Timestamptz,
        seen_every -> Float8,
        concurrency -> Int4,
        max_rows_per_second -> Int4,
        rows_claimed -> Int8,
        rows_completed -> Int8,
        rows_failed -> Int8,
        groups_committed -> Int8,
        batch_kinds -> Array<Nullable<Text>>,
        batch_rows -> Array<Nullable<Int8>>,
        batch_seconds -> Array<Nullable<Float8>>,
        claimed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    worker_throttle (is_only) {
        is_only -> Bool,
        max_rows_per_second -> Int4,
        changed_at -> Timestamptz,
        changed_by -> Text,
    }
}
