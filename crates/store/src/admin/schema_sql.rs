//! SQL expressions about the schema of the tables, for statements of `migrate` and `doctor`.

/// The roles that may create objects in the schema `n`, without its owner, the owner of the tables, and
/// this role. A role with that right could create a function or an operator that shadows one of the
/// server. So this expression qualifies all names that it uses with their schema.
macro_rules! other_creators {
    () => {
        "ARRAY(SELECT CASE WHEN acl.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
                           ELSE acl.grantee::pg_catalog.regrole::pg_catalog.text END
               FROM pg_catalog.aclexplode(n.nspacl) AS acl
               LEFT JOIN pg_catalog.pg_class AS queue
                      ON queue.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('aggregation_queue')
               WHERE acl.privilege_type OPERATOR(pg_catalog.=) 'CREATE'
                 AND acl.grantee OPERATOR(pg_catalog.<>) n.nspowner
                 AND acl.grantee OPERATOR(pg_catalog.<>) (
                     SELECT role.oid FROM pg_catalog.pg_roles AS role
                     WHERE role.rolname OPERATOR(pg_catalog.=) current_user)
                 AND (queue.oid IS NULL OR acl.grantee OPERATOR(pg_catalog.<>) queue.relowner)
               ORDER BY 1)"
    };
}
pub(super) use other_creators;

/// The `search_path` of a trigger function for the schema `n`, in the form that the server's catalog
/// stores.
macro_rules! own_search_path {
    () => {
        "('search_path=' || quote_ident(n.nspname) || ', pg_temp')"
    };
}
pub(super) use own_search_path;
