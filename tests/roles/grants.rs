//! No grant is superfluous: without any single one, something does not work.

use super::Roles;
use super::work::all_of_it;

/// Every grant of a role in its database, as the statement that takes it away, from what the scripts
/// have left in the catalogue.
const REVOKES: &str = "
    WITH given AS (
        SELECT 'TABLE' AS kind, format('%I.%I', nspname, relname) AS object, relacl AS acl
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
        WHERE relkind <> 'S'
        UNION ALL
        SELECT 'SEQUENCE', format('%I.%I', nspname, relname), relacl
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
        WHERE relkind = 'S'
        UNION ALL
        SELECT 'FUNCTION', format('%I.%I', nspname, proname), proacl
        FROM pg_proc JOIN pg_namespace AS n ON n.oid = pronamespace
        UNION ALL
        SELECT 'SCHEMA', quote_ident(nspname), nspacl FROM pg_namespace
        UNION ALL
        SELECT 'DATABASE', quote_ident(datname), datacl FROM pg_database
        WHERE datname = current_database()
    )
    SELECT format('REVOKE %s ON %s %s FROM %I', a.privilege_type, kind, object, $1::text)
    FROM given, aclexplode(acl) AS a
    WHERE a.grantee = (SELECT oid FROM pg_roles WHERE rolname = $1)
    ORDER BY kind, object, privilege_type";

/// How the program tells that a right is missing.
const TOLD: [&str; 4] = [
    "a right is missing (42501)",
    "\"class\":\"environment\"",
    "permission denied for database",
    "no schema of the search_path exists, or may be used by this role",
];

#[tokio::test]
async fn without_any_single_grant_of_the_scripts_something_does_not_work() {
    let roles = Roles::new().await;
    assert_eq!(all_of_it(&roles).await, Ok(()));
    let revokes: Vec<String> =
        roles.db.query(REVOKES, &[&roles.worker]).await.iter().map(|row| row.get(0)).collect();
    assert!(revokes.len() > 40, "{revokes:#?}");

    let mut superfluous = Vec::new();
    for revoke in revokes {
        roles.db.execute(&revoke).await;
        let doctor = roles.worker().arg("doctor").output().unwrap();
        assert_eq!(doctor.status.code(), Some(1), "the doctor does not miss it: {revoke}");
        roles.forget_everything().await;
        match all_of_it(&roles).await {
            Err(why) => assert!(TOLD.iter().any(|told| why.contains(told)), "{revoke}: {why}"),
            Ok(()) => superfluous.push(revoke),
        }
        // Gives it back.
        roles.script("postgres", "roles.sql");
        roles.script(&roles.owner, "grants.sql");
    }
    assert!(superfluous.is_empty(), "{superfluous:#?}");
    // The scripts may be run again and again.
    roles.forget_everything().await;
    assert_eq!(all_of_it(&roles).await, Ok(()));
}

impl Roles {
    /// As if nothing had ever been done.
    async fn forget_everything(&self) {
        self.db
            .execute(
                "ALTER TABLE nutrition_daily DROP CONSTRAINT IF EXISTS refused;
                 DELETE FROM aggregation_runs; DELETE FROM alert_conditions; DELETE FROM alert_outbox;
                 DELETE FROM figure_changes; DELETE FROM figure_feed; DELETE FROM figure_webhook;
                 DELETE FROM frozen_figures; DELETE FROM frozen_figures_of_users",
            )
            .await;
        self.db.wipe().await;
    }
}
