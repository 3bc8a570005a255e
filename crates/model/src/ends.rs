//! Checks that every run ends with an empty queue.
//!
//! The checker's own `eventually` does not find runs with a cycle. The budget or the queue itself
//! limits each kind of failure. So every run ends if the graph of states has no cycle. Every run
//! ends well if no work is left in each state in which no step happens by itself.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};

use stateright::Model;

use crate::action::Action;
use crate::properties::is_done;
use crate::queue::Queue;
use crate::state::State;

/// How the runs of a model end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ends {
    /// All runs end with no work left; this many states were seen.
    Well(usize),
    /// One run enters a cycle after these steps from the beginning.
    Never(Vec<Action>),
    /// After these steps no step happens by itself any more, but work is left.
    Stuck(Vec<Action>),
}

/// A state on the current path, and the steps from it that were not tried yet.
struct Visit {
    state: State,
    by: Option<Action>,
    untried: Vec<Action>,
}

impl Queue {
    /// Walks every run of the model to its end.
    pub fn ends(&self) -> Ends {
        // Whether the state is on the current path.
        let mut seen: HashMap<u64, bool> = HashMap::new();
        let mut path: Vec<Visit> = Vec::new();
        let steps = |path: &[Visit]| path.iter().filter_map(|visit| visit.by).collect();
        for state in self.init_states() {
            seen.insert(fingerprint(&state), true);
            path.push(self.visit(state, None));
        }
        while let Some(visit) = path.last_mut() {
            let Some(action) = visit.untried.pop() else {
                seen.insert(fingerprint(&visit.state), false);
                path.pop();
                continue;
            };
            let Some(next) = self.next_state(&visit.state, action) else { continue };
            match seen.entry(fingerprint(&next)) {
                Entry::Vacant(new) => {
                    new.insert(true);
                    path.push(self.visit(next, Some(action)));
                    if self.is_stuck(&next, path.last().map_or(&[], |visit| &visit.untried)) {
                        return Ends::Stuck(steps(&path));
                    }
                }
                Entry::Occupied(known) if *known.get() => {
                    let mut steps: Vec<Action> = steps(&path);
                    steps.push(action);
                    return Ends::Never(steps);
                }
                Entry::Occupied(_) => {}
            }
        }
        Ends::Well(seen.len())
    }

    fn visit(&self, state: State, by: Option<Action>) -> Visit {
        let mut untried = Vec::new();
        self.actions(&state, &mut untried);
        Visit { state, by, untried }
    }

    fn is_stuck(&self, state: &State, actions: &[Action]) -> bool {
        !actions.iter().any(|action| action.is_progress()) && !is_done(self, state)
    }
}

/// Like the checker, identifies a state by 64 bits.
fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
