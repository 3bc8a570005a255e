-- A statement calls this in the branch of a CASE in which a condition does not hold. It costs nothing where all hold.
CREATE FUNCTION aggregation_fail(code text, condition text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RAISE EXCEPTION 'condition does not hold: %', condition USING ERRCODE = code, CONSTRAINT = condition;
END $$;
COMMENT ON FUNCTION aggregation_fail(text, text) IS 'Fails the transaction of a group with a SQLSTATE of the class DF, and names the condition that does not hold';
