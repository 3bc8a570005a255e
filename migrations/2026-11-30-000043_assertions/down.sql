DROP FUNCTION aggregation_fail(text, text);
