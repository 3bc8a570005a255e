//! The failure policy: the actions for each class of errors.
//!
//! `docs/faults.md` lists the policy for operators, and a test compares the two.

use store::ErrorClass;

/// Maximum of tries of a group after errors that may pass at once. A third conflict in a row is no
/// coincidence.
pub const MAX_TRIES: u32 = 3;

/// The action for a group whose transaction was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run the group again at once.
    RetryNow,
    /// Release its rows without counting an attempt; the next batch claims them.
    Release,
    /// Release its rows for a pause, without counting an attempt.
    Snooze,
    /// Count an attempt. The rows go into back-off, or are dead after the last attempt.
    Fail,
    /// End the batch and release its rows without counting an attempt: the other groups would meet the
    /// same error.
    Interrupt,
}

/// The action of a drain when a batch ends with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterBatch {
    /// Wait as long as [`Backoff::drain`](store::Backoff::drain) says, then begin the next batch.
    Pause,
    /// End the drain with the error.
    End,
}

/// The action for the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// Return the connection to the pool.
    Keep,
    /// Drop the connection.
    DropOne,
    /// Replace all connections of the pool.
    ReplaceAll,
}

/// The actions after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether the group runs again at once, up to [`MAX_TRIES`] times in total, before `action`.
    pub retries_now: bool,
    /// The action for the group.
    pub action: Action,
    /// The action of the drain if the batch, or its claim, ends with this error.
    pub after_batch: AfterBatch,
    /// Whether the error is a time-out, after which batches become smaller.
    pub is_timeout: bool,
    /// The action for the connections, carried out by the pool.
    pub connections: Connections,
}

const FAIL: Policy = Policy {
    retries_now: false,
    action: Action::Fail,
    after_batch: AfterBatch::End,
    is_timeout: false,
    connections: Connections::Keep,
};

const INTERRUPT: Policy =
    Policy { action: Action::Interrupt, after_batch: AfterBatch::Pause, ..FAIL };

impl Policy {
    /// The policy for a class of errors.
    pub const fn for_class(class: ErrorClass) -> Self {
        use ErrorClass as Class;
        match class {
            Class::ConnectionLost => Self { connections: Connections::DropOne, ..INTERRUPT },
            Class::StaleSession => {
                Self { retries_now: true, connections: Connections::ReplaceAll, ..INTERRUPT }
            }
            // The connections to a silent server are not used again.
            Class::NoAnswer => Self {
                after_batch: AfterBatch::End,
                connections: Connections::ReplaceAll,
                ..INTERRUPT
            },
            // The request to stop ends the drain's pause, and then the drain.
            Class::PoolExhausted
            | Class::Cancelled
            | Class::Environment
            | Class::LeaseLost
            | Class::Stopped => INTERRUPT,
            Class::Conflict => Self { retries_now: true, after_batch: AfterBatch::Pause, ..FAIL },
            // A retry with the same profile and settings would fail again; the next batch reads new
            // ones.
            Class::Outdated => {
                Self { action: Action::Release, after_batch: AfterBatch::Pause, ..FAIL }
            }
            // A lock that another session holds for an hour must not make rows dead.
            Class::Locked => Self {
                action: Action::Snooze,
                after_batch: AfterBatch::Pause,
                is_timeout: true,
                ..FAIL
            },
            Class::Timeout => Self { after_batch: AfterBatch::Pause, is_timeout: true, ..FAIL },
            Class::Refused | Class::Database | Class::Internal => FAIL,
        }
    }

    /// The action for a group whose try number `tries` met the error.
    pub const fn action_after(&self, tries: u32) -> Action {
        if self.retries_now && tries < MAX_TRIES { Action::RetryNow } else { self.action }
    }

    /// Whether the error ends the batch, and no row is at fault.
    pub const fn is_interruption(&self) -> bool {
        matches!(self.action, Action::Interrupt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(class: ErrorClass) -> String {
        let policy = Policy::for_class(class);
        let (attempt, action) = match policy.action {
            Action::RetryNow => panic!("retrying must end: {class:?}"),
            Action::Release => ("no", "release its rows; the next batch claims them"),
            Action::Snooze => ("no", "release its rows for `batch.backoff_first_seconds`"),
            Action::Fail => ("yes", "try it again after the back-off"),
            Action::Interrupt => ("no", "release the rest of the batch"),
        };
        let retries = if policy.retries_now {
            format!("run it again at once, {MAX_TRIES} times in all; then ")
        } else {
            String::new()
        };
        let after_batch = match policy.after_batch {
            AfterBatch::Pause => "pause, then go on",
            AfterBatch::End => "end",
        };
        let smaller = if policy.is_timeout { "; make batches smaller" } else { "" };
        let connections = match policy.connections {
            Connections::Keep => "keep",
            Connections::DropOne => "drop the connection",
            Connections::ReplaceAll => "replace all",
        };
        let name = class.name();
        format!(
            "| {name} | {attempt} | {retries}{action} | {after_batch}{smaller} | {connections} |"
        )
    }

    #[test]
    fn the_document_lists_the_actions_for_each_class_of_errors() {
        let document = include_str!("../../../docs/faults.md");
        let head = "| class | attempt | the group | the drain | connections |";
        let listed = document.lines().skip_while(|line| *line != head).skip(2);
        let listed: Vec<&str> = listed.take_while(|line| !line.is_empty()).collect();
        assert_eq!(listed, ErrorClass::ALL.map(row));
    }

    #[test]
    fn a_group_with_a_conflict_runs_three_times_before_an_attempt_is_counted() {
        let conflict = Policy::for_class(ErrorClass::Conflict);
        let actions = [1, 2, 3].map(|tries| conflict.action_after(tries));
        assert_eq!(actions, [Action::RetryNow, Action::RetryNow, Action::Fail]);
    }
}
