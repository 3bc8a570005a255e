create or replace function v(u int, m text, val float8, src text, off text, len text default '0', un text default '') returns void language sql as $$ insert into vitals_raw(user_id,metric,value,unit,source,started_at,ended_at) values (u,m,val,case when un<>'' then un when m like 'blood_p%' then 'mmHg' when m like 'sleep%' then '' when m='blood_glucose' then 'mg/dL' when m='steps' then 'count' else 'bpm' end,src,'2026-03-02Z'::timestamptz+off::interval,'2026-03-02Z'::timestamptz+off::interval+len::interval) $$;
-- a published Fitbit night (API 1.2, 2020-06-06) with and without its 18 "shortData" wakes.
-- Fitbit's own summary: asleep 319, awake 34 (deep 64, light 196, rem 59). Dayfold: asleep 336, awake 17 in both.
-- minimal: 60 min of core with 10 min awake inside
select v(391,'sleep_core',0,'fitbit','00:00','60 min'), v(391,'sleep_awake',0,'fitbit','00:20','10 min');
