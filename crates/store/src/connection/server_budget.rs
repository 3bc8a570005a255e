//! A common limit on the connections of one process to each server.
//!
//! Pools of several targets may lead to the same server. Each connection needs a place in the server's
//! budget. If all places are taken, a target that needs its connection no longer closes it, and so does a
//! target whose turn is over. The longest waiting target gets the place. At most half of the places are
//! second and further connections of targets, so that targets that hang with all their connections leave a
//! first one to the others.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long a target that drains may keep a connection while others wait. A shorter turn would cost more
/// log-ins, and a longer one would let a fresh row of another target wait.
const TURN: Duration = Duration::from_millis(500);

/// How long a target may keep its connection for one look at its tables while others wait. A look has a few short
/// statements, each of which would otherwise wait for a place again.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// An idle target keeps its connection only while more than one of this many places is free.
const FREE_PLACES: usize = 4;

/// The budgets of all servers of a process.
#[derive(Clone)]
pub struct ServerBudgets {
    most: u32,
    servers: Arc<Mutex<HashMap<String, Weak<ServerBudget>>>>,
}

impl fmt::Debug for ServerBudgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBudgets").field("most", &self.most).finish_non_exhaustive()
    }
}

impl ServerBudgets {
    /// Budgets of `most` connections for each server; at least two.
    pub fn new(most: u32) -> Self {
        Self { most: most.max(2), servers: Arc::default() }
    }

    /// A target's share in the budget of the server at these endpoints.
    pub(crate) fn share(&self, endpoints: &str, wait: Duration) -> Arc<Share> {
        let mut servers = lock(&self.servers);
        servers.retain(|_, server| server.strong_count() > 0);
        let known = servers.get(endpoints).and_then(Weak::upgrade);
        let server = known.unwrap_or_else(|| {
            let server = Arc::new(ServerBudget::new(self.most));
            servers.insert(endpoints.to_owned(), Arc::downgrade(&server));
            server
        });
        Arc::new(Share { server, open: AtomicU32::new(0), wait, closed: CancellationToken::new() })
    }
}

/// Places of one kind, and the number of waiting targets.
struct Places {
    free: Arc<Semaphore>,
    waiting: AtomicU32,
}

impl Places {
    fn new(places: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(places as usize)), waiting: AtomicU32::new(0) }
    }

    /// Takes a place; calls `recall` if it must wait.
    async fn take(&self, recall: impl FnOnce()) -> Option<OwnedSemaphorePermit> {
        if let Ok(free) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(free);
        }
        let _waits = Counted::add(&self.waiting);
        recall();
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    fn are_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

/// The budget of one server.
struct ServerBudget {
    most: u32,
    all: Places,
    /// Those of second and further connections of targets.
    further: Places,
    /// Notified once for each target that begins to wait: a target that rests closes its connection.
    recall: Notify,
    /// When a place was taken last.
    last_taken: Mutex<Instant>,
}

impl ServerBudget {
    fn new(most: u32) -> Self {
        Self {
            most,
            all: Places::new(most),
            further: Places::new(most / 2),
            recall: Notify::new(),
            last_taken: Mutex::new(Instant::now()),
        }
    }

    /// Returns when no place was taken for this time.
    async fn stands_still(&self, time: Duration) {
        let began = Instant::now();
        loop {
            let since = began.max(*lock(&self.last_taken)).elapsed();
            match time.checked_sub(since).filter(|left| !left.is_zero()) {
                Some(left) => tokio::time::sleep(left).await,
                None => return,
            }
        }
    }
}

/// A target's share in the budget of its server.
pub(crate) struct Share {
    server: Arc<ServerBudget>,
    /// Connections of the target, with those that wait for a place.
    open: AtomicU32,
    wait: Duration,
    /// Cancelled when the pool is not used any more.
    closed: CancellationToken,
}

/// Closes a share when its pool is dropped. The pool's own tasks that wait for a place would keep the pool
/// and the places of its idle connections.
pub(crate) struct ClosesShare(pub(crate) Arc<Share>);

impl Drop for ClosesShare {
    fn drop(&mut self) {
        self.0.closed.cancel();
    }
}

impl Share {
    /// Waits for a place, in turn with other targets. While others get places, the wait goes on: a target that
    /// gave up would lose its turn.
    ///
    /// # Errors
    /// The cause, if no place of the server became free in time.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<Place, String> {
        let mut place =
            Place { further: None, all: None, share: Arc::clone(self), since: Instant::now() };
        let is_further = self.open.fetch_add(1, Ordering::Relaxed) > 0;
        let server = &self.server;
        let taking = async {
            if is_further {
                place.further = server.further.take(|| ()).await;
            }
            place.all = server.all.take(|| server.recall.notify_one()).await;
        };
        tokio::select! {
            () = taking => {}
            () = self.server.stands_still(self.wait) => {
                return Err(format!(
                    "no connection became free within {:.1} s: the worker may have {} to this server \
                     (pool.max_per_server), and its targets use them",
                    self.wait.as_secs_f64(),
                    self.server.most
                ));
            }
            () = self.closed.cancelled() => return Err("the pool is closed".to_owned()),
        }
        place.since = Instant::now();
        *lock(&server.last_taken) = place.since;
        Ok(place)
    }

    /// Whether another target waits for a place.
    pub(crate) fn is_wanted(&self) -> bool {
        self.server.all.are_wanted()
    }

    /// Returns when another target begins to wait for a place.
    pub(crate) async fn recalled(&self) {
        self.server.recall.notified().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For what a target needs its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// For nothing at the moment.
    Nothing,
    /// It looks at its tables.
    Look,
    /// It drains.
    Drain,
}

/// A place in a server's budget, taken by one connection.
pub(crate) struct Place {
    further: Option<OwnedSemaphorePermit>,
    all: Option<OwnedSemaphorePermit>,
    share: Arc<Share>,
    since: Instant,
}

impl Place {
    /// Whether the connection should be closed instead of returning to its pool: because its turn is over and
    /// another target waits, or because its target is idle, needs it for nothing, and few places are free.
    pub(crate) fn is_due(&self, need: Need, is_idle: bool) -> bool {
        let server = &self.share.server;
        let is_wanted =
            server.all.are_wanted() || (self.further.is_some() && server.further.are_wanted());
        let are_few = server.all.free.available_permits() <= server.most as usize / FREE_PLACES;
        match need {
            Need::Nothing => is_wanted || (is_idle && are_few),
            Need::Look => is_wanted && self.since.elapsed() >= LONGEST_LOOK,
            Need::Drain => is_wanted && self.since.elapsed() >= TURN,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.share.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a task as long as it waits, also if its wait is cancelled.
struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    fn add(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(most: u32, targets: usize) -> Vec<Arc<Share>> {
        shares_waiting(most, targets, Duration::from_millis(20))
    }

    fn shares_waiting(most: u32, targets: usize, wait: Duration) -> Vec<Arc<Share>> {
        let budgets = ServerBudgets::new(most);
        (0..targets).map(|_| budgets.share("db:5432", wait)).collect()
    }

    #[tokio::test]
    async fn targets_of_one_server_share_its_places_and_those_of_another_do_not() {
        let budgets = ServerBudgets::new(2);
        let share = |at: &str| budgets.share(at, Duration::from_millis(20));
        let (one, two, three, other) = (share("a:1"), share("a:1"), share("a:1"), share("b:1"));
        let taken = (one.take().await.unwrap(), two.take().await.unwrap());
        let refused = three.take().await.err().unwrap();
        assert!(refused.contains("2 to this server (pool.max_per_server)"), "{refused}");
        assert!(other.take().await.is_ok());
        drop(taken);
        assert!(three.take().await.is_ok());
    }

    #[tokio::test]
    async fn further_connections_leave_half_of_the_places_to_first_ones() {
        let shares = shares(4, 3);
        let first = shares[0].take().await.unwrap();
        let further = (shares[0].take().await.unwrap(), shares[0].take().await.unwrap());
        assert!(shares[0].take().await.is_err(), "the third further one");
        let other = shares[1].take().await.unwrap();
        drop((first, further, other));
        assert_eq!(shares[0].server.all.free.available_permits(), 4);
    }

    #[tokio::test]
    async fn a_share_whose_pool_is_dropped_waits_for_no_place() {
        let budgets = ServerBudgets::new(2);
        let [one, other, waits] =
            [(); 3].map(|()| budgets.share("db:5432", Duration::from_secs(600)));
        let _taken = (one.take().await.unwrap(), other.take().await.unwrap());
        let pool = ClosesShare(Arc::clone(&waits));
        let waiting = tokio::spawn(async move { waits.take().await.err() });
        tokio::task::yield_now().await;
        assert!(one.server.all.are_wanted());
        drop(pool);
        assert_eq!(waiting.await.unwrap().unwrap(), "the pool is closed");
        assert!(!one.server.all.are_wanted());
    }

    #[tokio::test]
    async fn a_needed_connection_is_given_up_after_its_turn_only_if_another_target_waits() {
        for (need, turn) in [(Need::Drain, TURN), (Need::Look, LONGEST_LOOK)] {
            let shares = shares(2, 3);
            let mut held = shares[0].take().await.unwrap();
            let _second = shares[1].take().await.unwrap();
            held.since = Instant::now() - turn;
            assert!(!held.is_due(need, true), "no target waits");
            let _waiting = Counted::add(&shares[0].server.all.waiting);
            assert!(held.is_due(need, false));
            held.since = Instant::now();
            assert!(!held.is_due(need, true), "its turn has begun a moment ago");
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_not_needed_is_given_up_at_once_if_another_target_waits() {
        let shares = shares(2, 3);
        let held = shares[0].take().await.unwrap();
        let _second = shares[1].take().await.unwrap();
        assert!(!held.is_due(Need::Nothing, false), "no target waits");
        assert!(held.is_due(Need::Nothing, true), "its target is idle and no place is free");
        let _waiting = Counted::add(&shares[0].server.all.waiting);
        assert!(held.is_due(Need::Nothing, false));
    }

    #[tokio::test]
    async fn a_target_that_begins_to_wait_recalls_a_connection() {
        let shares = shares(2, 3);
        let _taken = (shares[0].take().await.unwrap(), shares[1].take().await.unwrap());
        let recalled = shares[0].recalled();
        assert!(shares[2].take().await.is_err());
        recalled.await;
    }

    #[tokio::test]
    async fn a_target_waits_as_long_as_others_get_places() {
        let shares = shares_waiting(2, 14, Duration::from_millis(400));
        let _held = shares[0].take().await.unwrap();
        // Each has a turn of 50 ms, so the last one waits for 600 ms.
        let turns = shares.into_iter().skip(1).map(|share| async move {
            let place = share.take().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            place.map(|_| ())
        });
        let all = futures_util::future::join_all(turns).await;
        assert_eq!(all, [const { Ok(()) }; 13]);
    }
}
