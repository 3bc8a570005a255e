DROP VIEW raw_row_status;
