//! Users without a profile, with rows that have no zone: the default zone is assumed for them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use aggregation::UserId;
use aggregation::local_time::Zone;
use store::Claim;

use super::group::Profiles;
use crate::tables::counted;

/// Maximum of users that are tracked, because their ids are kept in memory.
const MAX_USERS: usize = 10_000;

/// The users since the last log message.
#[derive(Clone, Debug, Default)]
pub struct AssumedZone(Arc<Mutex<BTreeSet<UserId>>>);

impl AssumedZone {
    /// Records the users of a claim for whom the default zone is assumed.
    pub fn note(&self, claim: &Claim, profiles: &Profiles) {
        let sets = claim.sets.iter().filter(|set| set.time_zone.is_none());
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for set in sets.filter(|set| !profiles.has(&set.user_id)) {
            if noted.len() >= MAX_USERS {
                break;
            }
            noted.insert(set.user_id.clone());
        }
    }

    /// Logs the recorded users once, and clears them. Returns their number, and the message if there are
    /// any.
    pub fn tell(&self, zone: &Zone) -> (usize, Option<String>) {
        let users =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).len();
        if users == 0 {
            return (0, None);
        }
        let have = if users == 1 { "has" } else { "have" };
        let at_least = if users >= MAX_USERS { "at least " } else { "" };
        let counted = counted(users as i64, "user", "users");
        let sentence = format!(
            "{at_least}{counted} {have} no profile: {zone} is assumed where their rows name no zone"
        );
        tracing::info!(event = "time_zone_assumed", users, time_zone = %zone, "{sentence}");
        (users, Some(sentence))
    }
}
