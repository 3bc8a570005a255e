//! Which process holds a claim: its token tells.

use std::fmt;
use std::sync::LazyLock;

use aggregation::fingerprint::Fingerprint;
use diesel::prelude::*;

use crate::error::StoreError;
use crate::pool::Store;
use crate::schema::aggregation_runs;

/// Linux gives out no number of a process above 2^22.
const PROCESS_BITS: u32 = 22;

/// Bits of a token that differ by chance from claim to claim. A sequence would give a number out twice after a
/// crash of the server.
const RANDOM_BITS: u32 = 32;

/// A process, and a digest of its host's name in nine bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    host: u32,
    process: u32,
}

static OWN: LazyLock<Holder> = LazyLock::new(|| {
    Holder::new(&rustix::system::uname().nodename().to_string_lossy(), std::process::id())
});

impl Holder {
    fn new(host: &str, process: u32) -> Self {
        let mut digest = Fingerprint::new();
        let host = digest.text(host).finish() as u32 & 0x1ff;
        Self { host, process: process & ((1 << PROCESS_BITS) - 1) }
    }

    /// A token of this process that no other lease has.
    pub(crate) fn new_token() -> i64 {
        let own = (OWN.host << PROCESS_BITS) | OWN.process;
        (i64::from(own) << RANDOM_BITS) | i64::from(fastrand::u32(..))
    }

    /// The process that made a token.
    pub(super) const fn of_token(token: i64) -> Self {
        let of = (token >> RANDOM_BITS) as u32;
        Self { host: of >> PROCESS_BITS, process: of & ((1 << PROCESS_BITS) - 1) }
    }

    /// Whether this is the identity of the process, name@host:process.
    fn is(self, identity: &str) -> bool {
        let host_and_process = identity.rsplit_once('@').and_then(|(_, at)| at.rsplit_once(':'));
        host_and_process.is_some_and(|(host, process)| {
            process.parse().is_ok_and(|process| Self::new(host, process) == self)
        })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host == OWN.host { "this" } else { "another" };
        write!(f, "process {} on {host} host", self.process)
    }
}

impl Store {
    /// The names of processes that held claims: as the list of runs has them, if they did a run in the last 30 days,
    /// else their numbers.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn names_of(&self, holders: &[Holder]) -> Result<Vec<String>, StoreError> {
        let read = aggregation_runs::table.select(aggregation_runs::worker).distinct();
        let workers: Vec<String> = self.load("status", read).await?;
        let name_of = |holder: &Holder| {
            let mut names = workers.iter().filter(|name| holder.is(name));
            names.next().map_or_else(|| holder.to_string(), Clone::clone)
        };
        Ok(holders.iter().map(name_of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_whose_it_is_and_is_never_the_same() {
        let (one, other) = (Holder::new_token(), Holder::new_token());
        assert_ne!(one, other);
        assert!(one >= 0);
        assert_eq!((Holder::of_token(one), Holder::of_token(other)), (*OWN, *OWN));
        assert_eq!(OWN.to_string(), format!("process {} on this host", std::process::id()));
        assert!(OWN.is(&format!(
            "a@b@{}:{}",
            rustix::system::uname().nodename().to_string_lossy(),
            std::process::id()
        )));
        assert!(!OWN.is("a@b:1") && !OWN.is("a"));
    }
}
