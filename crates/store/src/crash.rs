//! Places where a test has the process crash, as if by `kill -9`. Builds for release have none.

/// A step of the batch, at which the process may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// The rows are marked, and that is committed.
    AfterClaim,
    /// The group's transaction has the user's lock.
    AfterLock,
    /// The raw rows and the figures that stand are read.
    AfterRead,
    /// The figures are computed.
    BeforeWrite,
    /// The figures are written, but not committed.
    AfterWrite,
    /// The rows are off the queue, but that is not committed.
    BeforeCommit,
    /// COMMIT is sent, and nobody knows what became of it.
    DuringCommit,
    /// The server has confirmed.
    AfterCommit,
    /// A group could not be done.
    BeforeRelease,
    /// Its rows are given back, and that is committed.
    AfterRelease,
    /// A group failed.
    BeforeFail,
    /// Its attempt is counted, and that is committed.
    AfterFail,
}

impl CrashPoint {
    /// All of them, in the order of the walk.
    pub const ALL: [Self; 12] = [
        Self::AfterClaim,
        Self::AfterLock,
        Self::AfterRead,
        Self::BeforeWrite,
        Self::AfterWrite,
        Self::BeforeCommit,
        Self::DuringCommit,
        Self::AfterCommit,
        Self::BeforeRelease,
        Self::AfterRelease,
        Self::BeforeFail,
        Self::AfterFail,
    ];

    /// The variable that names a place, and by a number behind it, as in `AfterCommit 3`, the time at
    /// which the process comes there.
    pub const VARIABLE: &str = "DAYFOLD_CRASH_AT";

    /// Whether it was asked to crash anywhere: then the steps are taken one after the other.
    pub(crate) fn any_is_asked_for() -> bool {
        cfg!(debug_assertions) && std::env::var_os(Self::VARIABLE).is_some()
    }

    /// Crashes here, if that was asked for.
    #[cfg(debug_assertions)]
    pub(crate) fn pass(self) {
        if self.is_asked_for() {
            std::process::abort();
        }
    }

    /// Does nothing.
    #[cfg(not(debug_assertions))]
    #[inline(always)]
    pub(crate) const fn pass(self) {}

    /// Whether it was asked to crash here, now.
    #[cfg(debug_assertions)]
    pub(crate) fn is_asked_for(self) -> bool {
        use std::sync::LazyLock;
        use std::sync::atomic::{AtomicU32, Ordering};

        static ASKED: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
            let asked = std::env::var(CrashPoint::VARIABLE).ok()?;
            let (name, time) = asked.split_once(' ').unwrap_or((&asked, "1"));
            Some((name.to_owned(), time.parse().ok()?))
        });
        static TIMES: AtomicU32 = AtomicU32::new(0);
        match &*ASKED {
            Some((name, time)) if *name == format!("{self:?}") => {
                TIMES.fetch_add(1, Ordering::SeqCst) + 1 == *time
            }
            _ => false,
        }
    }

    #[cfg(not(debug_assertions))]
    pub(crate) const fn is_asked_for(self) -> bool {
        false
    }
}
