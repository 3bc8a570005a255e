-- An analyser writes dots, the report writes commas: the laboratory's own flag tells which reading is meant.
INSERT INTO lab_raw(user_id,test_name,loinc_code,value_text,unit,reference_range,flag,status,collected_at,source) VALUES
 (1,'ALT','1742-6','24.000','U/L','< 35,0','N','final','2024-03-05 08:00Z','Lab'),
 (2,'Bilirubin','1975-2','1.100','mg/dL','0,2-1,2','N','final','2024-03-05 08:00Z','Lab'),
 (3,'Ferritin','2276-4','1.100','ng/mL','30,0-400,0','H','final','2024-03-05 08:00Z','Lab');
