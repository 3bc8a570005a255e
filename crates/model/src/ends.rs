//! Whether every run comes to its end, and to a good one.
//!
//! The checker's own `eventually` does not see runs that go round in a circle. All that goes wrong in
//! this model goes wrong so many times only. So every run ends if the states have no circle, and ends
//! well if wherever nothing more happens by itself, nothing is left to do.

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
    /// One of them goes round in a circle, by these steps from the beginning.
    Never(Vec<Action>),
    /// After these steps nothing happens by itself any more, and something is left to do.
    Stuck(Vec<Action>),
}

/// A state on the way that is being walked, and the steps from it that were not tried yet.
struct Place {
    state: State,
    by: Option<Action>,
    untried: Vec<Action>,
}

impl Queue {
    /// Walks every run of the model to its end.
    pub fn ends(&self) -> Ends {
        // Whether the state is on the way that is being walked.
        let mut seen: HashMap<u64, bool> = HashMap::new();
        let mut way: Vec<Place> = Vec::new();
        let steps = |way: &[Place]| way.iter().filter_map(|place| place.by).collect();
        for state in self.init_states() {
            seen.insert(fingerprint(&state), true);
            way.push(self.place(state, None));
        }
        while let Some(place) = way.last_mut() {
            let Some(action) = place.untried.pop() else {
                seen.insert(fingerprint(&place.state), false);
                way.pop();
                continue;
            };
            let Some(next) = self.next_state(&place.state, action) else { continue };
            match seen.entry(fingerprint(&next)) {
                Entry::Vacant(new) => {
                    new.insert(true);
                    way.push(self.place(next, Some(action)));
                    if self.is_stuck(&next, way.last().map_or(&[], |place| &place.untried)) {
                        return Ends::Stuck(steps(&way));
                    }
                }
                Entry::Occupied(known) if *known.get() => {
                    let mut steps: Vec<Action> = steps(&way);
                    steps.push(action);
                    return Ends::Never(steps);
                }
                Entry::Occupied(_) => {}
            }
        }
        Ends::Well(seen.len())
    }

    fn place(&self, state: State, by: Option<Action>) -> Place {
        let mut untried = Vec::new();
        self.actions(&state, &mut untried);
        Place { state, by, untried }
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
