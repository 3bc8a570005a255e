create or replace function v(u int, m text, val float8, src text, off text, len text default '0', un text default '') returns void language sql as $$ insert into vitals_raw(user_id,metric,value,unit,source,started_at,ended_at) values (u,m,val,case when un<>'' then un when m like 'blood_p%' then 'mmHg' when m like 'sleep%' then '' when m='blood_glucose' then 'mg/dL' when m='steps' then 'count' else 'bpm' end,src,'2026-03-02Z'::timestamptz+off::interval,'2026-03-02Z'::timestamptz+off::interval+len::interval) $$;
-- two finger-sticks 12 h apart: coverage 100 %, is_sufficient
select v(341,'blood_glucose',100,'meter','00:05'), v(341,'blood_glucose',120,'meter','12:05');
-- a sensor of 5 min until noon, one of 15 min from noon: every minute is covered, coverage says 66.7 %
select v(342,'blood_glucose',100,'g6',(i*5)||' min') from generate_series(0,143) i; select v(342,'blood_glucose',100,'libre',(720+i*15)||' min') from generate_series(0,47) i;
