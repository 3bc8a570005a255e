create or replace function v(u int, m text, val float8, src text, off text, len text default '0', un text default '') returns void language sql as $$ insert into vitals_raw(user_id,metric,value,unit,source,started_at,ended_at) values (u,m,val,case when un<>'' then un when m like 'blood_p%' then 'mmHg' when m like 'sleep%' then '' when m='blood_glucose' then 'mg/dL' when m='steps' then 'count' else 'bpm' end,src,'2026-03-02Z'::timestamptz+off::interval,'2026-03-02Z'::timestamptz+off::interval+len::interval) $$;
insert into user_profiles(user_id,time_zone,source_priority) values (321,'UTC','{watch,phone}'),(322,'UTC','{watch,phone}') on conflict do nothing;
-- 321: AOSP testTwoStepsRecords_allTimesEqual_highestPriorityAccounted: 20; 322: ..._instantHasLowerPriority: 20
select v(321,'steps',10,'phone','10:15'), v(321,'steps',20,'watch','10:15');
select v(322,'steps',10,'phone','10:10'), v(322,'steps',20,'watch','10:10','5 min');
