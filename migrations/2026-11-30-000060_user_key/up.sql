-- The type of the users' ids: bigint, uuid or text. `worker migrate --user-id` chooses it for new tables. The files
-- of the migrations say `user_id bigint`, and `migrate` puts the chosen type in its place, here too.
--
-- A parameter is cast to the domain, so that one statement serves each type. The columns have the base type, which
-- every driver of an app knows.
CREATE DOMAIN user_key AS bigint;

COMMENT ON DOMAIN user_key IS 'The type of the users'' ids in all tables. It is chosen when the tables are created, and never changes.';
