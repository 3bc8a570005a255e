//! Where the worker waits until the test has broken something.

use tokio_postgres::Client;

use crate::support::Database;

/// The user whose groups wait at gates; those of user 1 are done by then, those of user 3 are not.
pub const USER: i64 = 2;

/// A trigger of the app's on a table of figures that waits for a lock, which the test holds.
pub struct Gate {
    client: Client,
}

impl Gate {
    /// The worker waits in the statement that writes the table.
    pub async fn in_statement(db: &Database, table: &str) -> Self {
        let timing = format!("TRIGGER gate AFTER INSERT OR UPDATE ON {table}");
        Self::with_trigger(db, &timing).await
    }

    /// The worker waits before it writes a row of this table.
    pub async fn before_row(db: &Database, table: &str) -> Self {
        Self::with_trigger(db, &format!("TRIGGER gate BEFORE INSERT OR UPDATE ON {table}")).await
    }

    /// The worker waits in COMMIT, as for a constraint that is checked at the end.
    pub async fn in_commit(db: &Database, table: &str) -> Self {
        let timing = format!(
            "CONSTRAINT TRIGGER gate AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED"
        );
        Self::with_trigger(db, &timing).await
    }

    async fn with_trigger(db: &Database, timing: &str) -> Self {
        let client = db.connect().await;
        client.execute("SELECT pg_advisory_lock(4711)", &[]).await.unwrap();
        db.execute(&format!(
            "CREATE FUNCTION wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$;
             CREATE {timing} FOR EACH ROW WHEN (NEW.user_id = {USER})
             EXECUTE FUNCTION wait_at_the_gate()"
        ))
        .await;
        Self { client }
    }

    /// Lets everybody through from now on.
    pub async fn open(self) {
        let sql = "SELECT pg_advisory_unlock(4711)";
        let opened = self.client.query_one(sql, &[]).await.unwrap();
        assert!(opened.get::<_, bool>(0), "the gate was not closed");
    }
}
