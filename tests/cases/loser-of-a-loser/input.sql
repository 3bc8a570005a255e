create or replace function v(u int, m text, val float8, src text, off text, len text default '0', un text default '') returns void language sql as $$ insert into vitals_raw(user_id,metric,value,unit,source,started_at,ended_at) values (u,m,val,case when un<>'' then un when m like 'blood_p%' then 'mmHg' when m like 'sleep%' then '' when m='blood_glucose' then 'mg/dL' when m='steps' then 'count' else 'bpm' end,src,'2026-03-02Z'::timestamptz+off::interval,'2026-03-02Z'::timestamptz+off::interval+len::interval) $$;
-- watch > ring > phone. Watch 23:00-03:00 (battery empty), ring 23:10-07:00, phone app 08:30-10:00 (went back to sleep; ring on the charger).
insert into user_profiles(user_id,time_zone,source_priority) values (311,'UTC','{watch,ring,phone}'),(312,'UTC','{watch,ring,phone}') on conflict do nothing;
select v(311,'sleep_core',0,'watch','-1 hours','4 hours'), v(311,'sleep_core',0,'ring','-50 min','7 hours 50 min'), v(311,'sleep_asleep',0,'phone','08:30','90 min');
-- 312: without the ring the phone's 90 minutes count
select v(312,'sleep_core',0,'watch','-1 hours','4 hours'), v(312,'sleep_asleep',0,'phone','08:30','90 min');
