//! Compares the size of the pool with the connections that the server can still give.
//!
//! A background worker with too large a pool takes connections from the application, which fails only at
//! peak load.

use std::fmt;

use diesel::sql_types::{BigInt, Bool, Nullable};

use crate::error::StoreError;
use crate::pool::Store;
use crate::sql::statement::statement;

statement! {
    /// A limit of -1 means no limit. Only client backends have a user. An ordinary role cannot see the
    /// type of other roles' sessions.
    struct ReadBudget {} -> (BigInt, BigInt, Nullable<BigInt>, Nullable<BigInt>, Bool, BigInt, BigInt, BigInt, BigInt)
    include_str!("read_budget.sql")
}

/// The server's connection limits and current use. `Display` prints the calculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// `pool.max_size`: the maximum of connections that this worker opens in its pool.
    pub wanted: i64,
    /// Connections that it opens beside the pool: that of the page.
    pub beside: i64,
    /// The server's `max_connections`.
    pub max_connections: i64,
    /// Connections reserved for others, such as superusers.
    pub reserved: i64,
    /// The connection limit of the role, if it has one.
    pub role_limit: Option<i64>,
    /// The connection limit of the database, if it has one.
    pub database_limit: Option<i64>,
    /// Sessions at the server that are not this worker's.
    pub others: i64,
    /// How many of `others` use the same role.
    pub others_of_role: i64,
    /// How many of `others` use the same database.
    pub others_at_database: i64,
}

impl Budget {
    /// The maximum of connections for this role if no other client is connected.
    pub fn ceiling(&self) -> i64 {
        let limits = [self.role_limit, self.database_limit].into_iter().flatten();
        limits.fold(self.max_connections - self.reserved, i64::min)
    }

    /// The connections still available under all limits.
    pub fn left(&self) -> i64 {
        let server = self.max_connections - self.reserved - self.others;
        let role = self.role_limit.map(|limit| limit - self.others_of_role);
        let database = self.database_limit.map(|limit| limit - self.others_at_database);
        [role, database].into_iter().flatten().fold(server, i64::min).max(0)
    }

    /// Whether `pool.max_size` exceeds the limits even on an idle server.
    pub fn is_impossible(&self) -> bool {
        self.wanted + self.beside > self.ceiling()
    }

    /// Whether `pool.max_size` exceeds the connections available now.
    pub fn is_tight(&self) -> bool {
        self.wanted + self.beside > self.left()
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, max_connections, reserved, others, .. } = self;
        write!(
            f,
            "pool.max_size is {wanted}; the server has max_connections {max_connections}, \
             {reserved} of them reserved, {others} used by others now"
        )?;
        if self.beside > 0 {
            write!(f, "; the page needs {} beside the pool", self.beside)?;
        }
        if let Some(limit) = self.role_limit {
            write!(f, "; the role may have {limit}, {} used by others", self.others_of_role)?;
        }
        if let Some(limit) = self.database_limit {
            write!(
                f,
                "; the database may have {limit}, {} used by others",
                self.others_at_database
            )?;
        }
        Ok(())
    }
}

impl Store {
    /// Compares the maximum size of the pool with the server's limits.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn budget(&self) -> Result<Budget, StoreError> {
        type Columns = (i64, i64, Option<i64>, Option<i64>, bool, i64, i64, i64, i64);
        let rows: Vec<Columns> = self.load("budget", ReadBudget {}).await?;
        let pool = self.stats();
        let Some((
            max_connections,
            reserved,
            role,
            database,
            superuser,
            all,
            of_role,
            at_database,
            named,
        )) = rows.into_iter().next()
        else {
            return Err(StoreError::Internal("the server returned no limits"));
        };
        // The pool does not count connections that it is opening, but they have its name. Sessions of
        // that name beyond the pool's maximum belong to other processes.
        let own = named.min(i64::from(pool.max)).max(i64::from(pool.open));
        let others = |sessions: i64| (sessions - own).max(0);
        Ok(Budget {
            wanted: i64::from(pool.max),
            beside: 0,
            max_connections,
            // Superusers are exempt from these limits and may use the reserved connections.
            reserved: if superuser { 0 } else { reserved },
            role_limit: role.filter(|_| !superuser),
            database_limit: database.filter(|_| !superuser),
            others: others(all),
            others_of_role: others(of_role),
            others_at_database: others(at_database),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    const SERVER: Budget = Budget {
        wanted: 4,
        beside: 0,
        max_connections: 100,
        reserved: 3,
        role_limit: None,
        database_limit: None,
        others: 0,
        others_of_role: 0,
        others_at_database: 0,
    };

    #[test]
    fn what_is_left_is_the_least_that_any_limit_leaves() {
        assert_eq!(SERVER.left(), 97);
        assert_eq!(Budget { others: 95, ..SERVER }.left(), 2);
        let role = Budget { role_limit: Some(10), others_of_role: 7, ..SERVER };
        assert_eq!((role.left(), role.ceiling()), (3, 10));
        let database = Budget { database_limit: Some(5), others_at_database: 9, ..role };
        assert_eq!((database.left(), database.ceiling()), (0, 5));
    }

    #[test]
    fn too_much_for_ever_is_impossible_and_too_much_now_is_tight() {
        assert!(!SERVER.is_tight() && !SERVER.is_impossible());
        let tight = Budget { others: 94, ..SERVER };
        assert!(tight.is_tight() && !tight.is_impossible());
        assert!(Budget { role_limit: Some(3), ..SERVER }.is_impossible());
    }
}
