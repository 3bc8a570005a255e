create or replace function v(u int, m text, val float8, src text, off text, len text default '0', un text default '') returns void language sql as $$ insert into vitals_raw(user_id,metric,value,unit,source,started_at,ended_at) values (u,m,val,case when un<>'' then un when m like 'blood_p%' then 'mmHg' when m like 'sleep%' then '' when m='blood_glucose' then 'mg/dL' when m='steps' then 'count' else 'bpm' end,src,'2026-03-02Z'::timestamptz+off::interval,'2026-03-02Z'::timestamptz+off::interval+len::interval) $$;
-- 10.0, 13.9 and 7.8 mmol/L: in range, not very high, in the tight range (Battelino 2019 table: 3.9-10.0, >13.9; 3.9-7.8)
select v(331,'blood_glucose',10.0,'cgm',(i*5)||' min','0','mmol/L') from generate_series(0,9) i;
select v(332,'blood_glucose',13.9,'cgm',(i*5)||' min','0','mmol/L') from generate_series(0,9) i;
select v(333,'blood_glucose',7.8,'cgm',(i*5)||' min','0','mmol/L') from generate_series(0,9) i;
