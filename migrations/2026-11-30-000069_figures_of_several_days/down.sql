DROP VIEW body_mass_index_daily, body_mass_carried, sleep_vitals, vitals_28_days, vitals_7_days;
