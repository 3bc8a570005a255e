GRANT EXECUTE ON FUNCTION
    queue_inserted_vitals(), queue_updated_vitals(),
    queue_deleted_vitals(), queue_truncated_vitals(),
    queue_inserted_nutrition(), queue_updated_nutrition(),
    queue_deleted_nutrition(), queue_truncated_nutrition(),
    queue_inserted_labs(), queue_updated_labs(),
    queue_deleted_labs(), queue_truncated_labs()
    TO PUBLIC;
