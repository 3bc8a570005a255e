//! How many rows of a table the server has read.

use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

pub async fn count(observer: &mut AsyncPgConnection, sql: &str) -> i64 {
    diesel::sql_query(sql).get_result::<Count>(observer).await.unwrap().n
}

/// Waits until this many other sessions are left. A session counts what it read when it ends.
pub async fn others_left(observer: &mut AsyncPgConnection, left: i64) {
    let others = "SELECT count(*) - 1 AS n FROM pg_stat_activity
                  WHERE backend_type = 'client backend' AND datname = current_database()";
    for _ in 0..2_000 {
        if count(observer, others).await == left {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the other sessions do not end");
}

/// The rows of a table read by any scan since the statistics were last reset.
pub async fn rows_read(observer: &mut AsyncPgConnection, table: &str) -> i64 {
    let read = "SELECT seq_tup_read + idx_tup_fetch AS n FROM pg_stat_user_tables";
    count(observer, &format!("{read} WHERE relname = '{table}'")).await
}
