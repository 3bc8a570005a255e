ALTER TABLE lab_daily DROP COLUMN context_fingerprint;
