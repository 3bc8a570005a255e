-- How an app whose measurements lie in a table of its own has them aggregated: a worked example, run by
-- tests/adoption.rs. Change names and columns to yours; run it as the owner of both tables.
--
-- The app has:
--
--   CREATE TABLE measurements (
--       measurement_id bigint PRIMARY KEY, person_id bigint, type text, reading numeric, unit text,
--       device text, taken_at timestamptz, aggregation_status text DEFAULT 'pending');
--
-- Each of its rows becomes a row of vitals_raw with the same number. Triggers keep it up to date, in the
-- app's own transaction. vitals_raw queues each change, as for rows that an app writes there itself.

BEGIN;

-- The app's words in the catalogue's (`worker catalogue`). A row whose type is not listed is not copied.
CREATE TABLE measurement_types (type text PRIMARY KEY, metric text NOT NULL);
INSERT INTO measurement_types VALUES
    ('hr', 'heart_rate'), ('walk', 'steps'), ('weight', 'body_mass');

-- Numbers of the app's rows must differ from those of other rows in vitals_raw. If vitals_raw has rows of
-- its own, add an offset to measurement_id here and in the view below.
CREATE VIEW measurements_as_vitals AS
SELECT m.person_id AS user_id, m.measurement_id AS id, t.metric, m.reading::float8 AS value, m.unit,
       coalesce(m.device, 'unknown') AS source, m.taken_at AS started_at, m.taken_at AS ended_at
FROM measurements AS m JOIN measurement_types AS t USING (type)
WHERE m.person_id IS NOT NULL AND m.taken_at IS NOT NULL AND m.reading IS NOT NULL AND m.unit IS NOT NULL;

-- A job of the app sets aggregation_status on each row. An update that changes no column of the view copies nothing,
-- so add such a column here only if figures depend on it.
CREATE FUNCTION measurements_to_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    changed bigint[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(measurement_id) INTO changed FROM after;
    ELSIF TG_OP = 'UPDATE' THEN
        SELECT array_agg(a.measurement_id) INTO changed
        FROM after AS a LEFT JOIN before AS b USING (measurement_id)
        WHERE (a.person_id, a.type, a.reading, a.unit, a.device, a.taken_at)
              IS DISTINCT FROM (b.person_id, b.type, b.reading, b.unit, b.device, b.taken_at);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM vitals_raw AS v USING before AS b
        WHERE v.user_id = b.person_id AND v.id = b.measurement_id
          AND NOT EXISTS (SELECT FROM measurements_as_vitals AS kept
                          WHERE kept.id = b.measurement_id AND kept.user_id = b.person_id);
    END IF;
    IF changed IS NOT NULL THEN
        INSERT INTO vitals_raw (user_id, id, metric, value, unit, source, started_at, ended_at)
        SELECT * FROM measurements_as_vitals WHERE id = ANY (changed)
        ON CONFLICT (user_id, id) DO UPDATE
        SET metric = excluded.metric, value = excluded.value, unit = excluded.unit, source = excluded.source,
            started_at = excluded.started_at, ended_at = excluded.ended_at;
    END IF;
    RETURN NULL;
END $$;

-- Otherwise a trigger on another table could write here with the rights of this function's owner.
REVOKE EXECUTE ON FUNCTION measurements_to_vitals() FROM PUBLIC;

CREATE TRIGGER measurements_inserted AFTER INSERT ON measurements
    REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION measurements_to_vitals();
CREATE TRIGGER measurements_updated AFTER UPDATE ON measurements
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION measurements_to_vitals();
CREATE TRIGGER measurements_deleted AFTER DELETE ON measurements
    REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION measurements_to_vitals();

-- Copies the existing rows. The triggers are in place, so no change is missed meanwhile. Copy many millions
-- of rows by ranges of measurement_id, each in a transaction of its own.
INSERT INTO vitals_raw (user_id, id, metric, value, unit, source, started_at, ended_at)
SELECT * FROM measurements_as_vitals
ON CONFLICT DO NOTHING;

-- The status that the app showed from its column, always true and never written: a column that a job
-- updates costs a new version of each row.
CREATE VIEW measurement_status AS
SELECT m.measurement_id, coalesce(s.status, 'not aggregated') AS aggregation_status, s.rejected_reason
FROM measurements AS m
LEFT JOIN raw_row_status AS s
       ON s.kind = 'vitals' AND s.user_id = m.person_id AND s.raw_id = m.measurement_id;

COMMIT;
