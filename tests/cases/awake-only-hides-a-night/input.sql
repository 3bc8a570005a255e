create or replace function v(u int, m text, val float8, src text, off text, len text default '0', un text default '') returns void language sql as $$ insert into vitals_raw(user_id,metric,value,unit,source,started_at,ended_at) values (u,m,val,case when un<>'' then un when m like 'blood_p%' then 'mmHg' when m like 'sleep%' then '' when m='blood_glucose' then 'mg/dL' when m='steps' then 'count' else 'bpm' end,src,'2026-03-02Z'::timestamptz+off::interval,'2026-03-02Z'::timestamptz+off::interval+len::interval) $$;
-- phone saw 8 h in bed; an app wrote one awake row of 15 min at 03:00. Neither knows of sleep.
select v(301,'sleep_in_bed',0,'phone','-1 hours','8 hours'), v(301,'sleep_awake',0,'app','03:00','15 min');
-- the same on the phone's side only (for comparison)
select v(302,'sleep_in_bed',0,'phone','-1 hours','8 hours');
-- two sessions of one day, one source list: main session = the awake-only one
insert into user_profiles(user_id,time_zone,source_priority) values (303,'UTC','{phone,watch}') on conflict do nothing;
select v(303,'sleep_in_bed',0,'phone','00:00','7 hours'), v(303,'sleep_awake',0,'watch','15:00','20 min');
