-- The functions that fill the queue have the rights of their owner. A role that may execute one
-- could make it the trigger of its own table, and fill the queue with any rows. A trigger that is
-- there fires for everybody all the same: the right is asked for when it is made.
REVOKE EXECUTE ON FUNCTION
    queue_inserted_vitals(), queue_updated_vitals(),
    queue_deleted_vitals(), queue_truncated_vitals(),
    queue_inserted_nutrition(), queue_updated_nutrition(),
    queue_deleted_nutrition(), queue_truncated_nutrition(),
    queue_inserted_labs(), queue_updated_labs(),
    queue_deleted_labs(), queue_truncated_labs()
    FROM PUBLIC;
