//! Whether every run ends, with nothing left to do.
//!
//! The checker's own `eventually` does not see runs that go round in a circle. Each kind of trouble is
//! limited, by the budget or by the queue itself. So every run ends if the states have no circle, and ends
//! well if nothing is left to do in each state in which no step happens by itself.

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
    /// All of them, with nothing left to do; this many states were seen.
    Well(usize),
    /// One of them goes round in a circle, after these steps from the beginning.
    Never(Vec<Action>),
    /// After these steps no step happens by itself any more, and something is left to do.
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

/// As the checker does, states are told apart by 64 bits.
fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
