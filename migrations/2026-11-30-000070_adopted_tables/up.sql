-- Tables of an app that `worker adopt` copies from: how far the copy of former rows is, so that it resumes.
CREATE TABLE adopted_tables (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app_table text NOT NULL,
    kind text NOT NULL CONSTRAINT adopted_tables_kind CHECK (kind IN ('vitals', 'nutrition', 'labs')),
    mapping text NOT NULL,
    state text NOT NULL DEFAULT 'copying' CONSTRAINT adopted_tables_state CHECK (state IN ('copying', 'copied', 'leaving')),
    up_to bigint,
    adopted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE adopted_tables IS 'Tables of an app that triggers of worker adopt mirror into raw tables; worker adopt --undo deletes the row';
COMMENT ON COLUMN adopted_tables.id IS 'The triggers'' function is adopted_ID';
COMMENT ON COLUMN adopted_tables.app_table IS 'Schema and name at the time of adoption, quoted for SQL';
COMMENT ON COLUMN adopted_tables.mapping IS 'The arguments of worker adopt; a second call with others is refused';
COMMENT ON COLUMN adopted_tables.state IS 'copying: rows from before the adoption are being copied; copied: all are; leaving: worker adopt --undo deletes the copies';
COMMENT ON COLUMN adopted_tables.up_to IS 'The highest id of the app''s table up to which rows were copied, or deleted when leaving';
