//! Larger sizes than those of the tests: minutes rather than seconds. If a property does not hold, it shows the
//! steps that lead there and ends with an error.

use std::process::ExitCode;

use model::{Budget, Ends, Queue};
use stateright::{Checker, Expectation, Model};

fn main() -> ExitCode {
    let mut well = true;
    for (name, queue) in sizes() {
        let checker = queue.clone().checker().threads(2).spawn_dfs().join();
        println!("{name}: {} states", checker.unique_state_count());
        for (property, path) in checker.discoveries() {
            if queue.property(property).expectation == Expectation::Always {
                println!("  not so: {property}\n  {:?}", path.into_actions());
                well = false;
            }
        }
        let ends = queue.ends();
        if !matches!(ends, Ends::Well(_)) {
            println!("  {ends:?}");
            well = false;
        }
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn sizes() -> [(&'static str, Queue); 6] {
    let one_of_each = Budget {
        changes: 2,
        crashes: 1,
        interruptions: 1,
        orphans: 1,
        delays: 1,
        lock_timeouts: 1,
        server_crashes: 0,
    };
    let fewer = Budget { crashes: 0, interruptions: 0, ..one_of_each };
    let of = |budget| Queue { budget, ..Queue::default() };
    [
        ("one of each, and groups fail", Queue { groups_fail: true, ..of(one_of_each) }),
        ("two delays and two crashes", of(Budget { crashes: 2, delays: 2, ..one_of_each })),
        (
            "three changes of two users",
            Queue { rows: vec![(0, 0), (1, 0)], ..of(Budget { changes: 3, ..fewer }) },
        ),
        (
            "a dense hour",
            Queue {
                rows: vec![(0, 0), (0, 0), (0, 1)],
                batch: 1,
                ..of(Budget { changes: 3, orphans: 0, lock_timeouts: 0, ..one_of_each })
            },
        ),
        ("three workers", Queue { workers: 3, ..of(Budget { changes: 3, ..fewer }) }),
        (
            "a server that dies",
            of(Budget { server_crashes: 1, crashes: 1, orphans: 0, lock_timeouts: 0, ..fewer }),
        ),
    ]
}
