//! What the database must be like once one is in.

use std::time::Duration;

use store::{Examination, Pooler, SchemaState, Store, StoreError, schema_state};

use super::{Check, Checkup};
use crate::config::Config;
use crate::setup;
use crate::tables::{age, counted};

/// `date_bin`, on which the claim rests, came with it.
const OLDEST_VERSION: i32 = 140_000;

/// Times in the worker's log and in the database are compared by people; beyond this they wonder.
const MOST_CLOCK_SECONDS: f64 = 2.0;

/// Looks at everything, changes nothing.
///
/// # Errors
/// If the database fails.
pub async fn examine(
    config: &Config,
    store: &Store,
    checkup: &mut Checkup,
) -> Result<(), StoreError> {
    let found = store.examine().await?;
    checkup.add(encryption(&found));
    checkup.add(version(&found));
    checkup.add(pooler(config));
    checkup.add(timeouts(config, &found));
    checkup.add(replication(&found));
    checkup.add(messages(&found));
    let current = schema(store, &found, checkup).await?;
    if current {
        checkup.add(rights(store, &found).await?);
        checkup.add(triggers(store, &found).await?);
    }
    checkup.add(budget(store).await?);
    checkup.add(sessions(store, &found).await?);
    checkup.add(horizon(config, store, &found).await?);
    checkup.add(clock(store).await?);
    Ok(())
}

fn encryption(found: &Examination) -> Check {
    Check::fine(
        "TLS",
        match &found.tls {
            Some(protocol) => format!("the session is encrypted ({protocol})"),
            None => "the session is not encrypted, which a socket of this host need not be".into(),
        },
    )
}

fn version(found: &Examination) -> Check {
    let Examination { version, role, database, .. } = found;
    let text = format!("PostgreSQL {version}, role {role:?}, database {database:?}");
    if found.version_number >= OLDEST_VERSION {
        Check::fine("server", text)
    } else {
        Check::wrong("server", text, "install PostgreSQL 14 or later")
    }
}

fn pooler(config: &Config) -> Check {
    Check::fine(
        "pooler",
        match config.database.pooler {
            Pooler::None => "none: the session's settings arrive",
            Pooler::Session => "by session: the session's settings arrive, and stay",
            Pooler::Transaction => "by transaction: prepared statements are carried",
        },
    )
}

/// That they arrive was tried at the log-in for one of them; here are all.
fn timeouts(config: &Config, found: &Examination) -> Check {
    let session = &config.session;
    let wanted = [
        ("statement_timeout", session.statement_timeout),
        ("lock_timeout", session.lock_timeout),
        ("idle_in_transaction_session_timeout", session.idle_in_transaction_timeout),
        ("transaction_timeout", session.transaction_timeout),
    ];
    let mut shown = Vec::new();
    for (name, ms) in &found.timeouts {
        let wanted = wanted.iter().find(|(wanted, _)| wanted == name);
        let wanted = wanted.map_or(Duration::ZERO, |(_, limit)| *limit);
        if *ms != wanted.as_millis() as i64 {
            return Check::wrong(
                "time-outs",
                format!("{name} is {ms} ms instead of {} ms", wanted.as_millis()),
                "look for what sets it: ALTER ROLE, ALTER DATABASE, or a pooler",
            );
        }
        shown.push(format!("{name} {}", age(wanted.as_secs_f64())));
    }
    Check::fine("time-outs", shown.join(", "))
}

fn replication(found: &Examination) -> Check {
    let name = "role";
    if found.in_recovery {
        return Check::wrong(
            name,
            "the server is a standby, which takes no changes",
            "name the primary in DATABASE_URL, or all hosts and target_session_attrs=read-write",
        );
    }
    if found.read_only {
        return Check::wrong(
            name,
            "transactions are read-only",
            "look for default_transaction_read_only: ALTER ROLE, ALTER DATABASE, or the server's \
             configuration",
        );
    }
    if found.replication_role != "origin" {
        return Check::wrong(
            name,
            format!("session_replication_role is {}", found.replication_role),
            "set it to origin for this role: no trigger that feeds the queue fires otherwise",
        );
    }
    Check::fine(name, "primary, takes changes")
}

/// The driver keeps the text of an error and not its code.
fn messages(found: &Examination) -> Check {
    let language = found.messages.as_str();
    let english = ["", "C", "POSIX"].contains(&language)
        || language.starts_with("C.")
        || language.starts_with("en");
    if english {
        return Check::fine("messages", "in English");
    }
    Check::doubtful(
        "messages",
        format!("in {language}: the worker tells time-outs and missing rights by English words"),
        format!("as a superuser: ALTER ROLE {:?} SET lc_messages = 'C'", found.role),
    )
}

/// Whether it is the one that this version works on.
async fn schema(
    store: &Store,
    found: &Examination,
    checkup: &mut Checkup,
) -> Result<bool, StoreError> {
    let Some(schema) = &found.schema else {
        checkup.add(Check::wrong(
            "schema",
            "no schema of the search_path exists, or may be used by this role",
            format!("GRANT USAGE ON SCHEMA … TO {:?}, or set the role's search_path", found.role),
        ));
        return Ok(false);
    };
    let state = schema_state(store).await?;
    checkup.add(match &state {
        SchemaState::Current => Check::fine("schema", format!("{schema:?} is up to date")),
        SchemaState::TooOld { pending } => Check::wrong(
            "schema",
            format!(
                "{schema:?} lacks {}",
                counted(pending.len() as i64, "migration", "migrations")
            ),
            "run `worker migrate`",
        ),
        SchemaState::TooNew { .. } => Check::wrong(
            "schema",
            format!("{schema:?} is newer than this worker"),
            "install the newer worker",
        ),
    });
    Ok(state == SchemaState::Current)
}

async fn rights(store: &Store, found: &Examination) -> Result<Check, StoreError> {
    let missing = store.missing_rights().await?;
    if missing.is_empty() {
        return Ok(Check::fine("rights", "all that the worker needs"));
    }
    let shown = missing.iter().map(|right| format!("{} on {}", right.right, right.object));
    let grants = missing
        .iter()
        .map(|m| format!("GRANT {} ON {} {} TO {:?};", m.right, m.kind, m.object, found.role));
    Ok(Check::wrong(
        "rights",
        format!("missing: {}", shown.collect::<Vec<_>>().join(", ")),
        grants.collect::<Vec<_>>().join(" "),
    ))
}

async fn triggers(store: &Store, found: &Examination) -> Result<Check, StoreError> {
    let silent = store.silent_triggers().await?;
    let schema = found.schema.as_deref().unwrap_or_default();
    Ok(if silent.is_empty() {
        Check::fine("triggers", "raw rows queue themselves")
    } else {
        Check::doubtful(
            "triggers",
            format!("raw rows do not queue themselves by {}", silent.join(", ")),
            format!(
                "ALTER TABLE {schema}.… ENABLE TRIGGER …, then `worker requeue` for what came \
                 meanwhile; unless something else feeds the queue"
            ),
        )
    })
}

async fn budget(store: &Store) -> Result<Check, StoreError> {
    let budget = store.budget().await?;
    let found = format!("{} connections are left for the worker: {budget}", budget.left());
    Ok(if budget.is_impossible() {
        let advice =
            format!("lower pool.max_size to {} or less, or raise the limit", budget.ceiling());
        Check::wrong("budget", found, advice)
    } else if budget.is_tight() {
        let advice = "lower pool.max_size, or the application's pool, or raise max_connections";
        Check::doubtful("budget", found, advice)
    } else {
        Check::fine("budget", found)
    })
}

async fn sessions(store: &Store, found: &Examination) -> Result<Check, StoreError> {
    let sessions = store.sessions().await?;
    let shown = sessions.iter().map(|of| format!("{} {} {}", of.count, of.application, of.state));
    let mut shown = shown.collect::<Vec<_>>().join(", ");
    if shown.is_empty() {
        shown.push_str("none but this one");
    }
    Ok(if found.sees_others {
        Check::fine("sessions", shown)
    } else {
        Check::doubtful(
            "sessions",
            format!("{shown}; what those of other roles do is hidden"),
            format!(
                "GRANT pg_read_all_stats TO {:?}, so that the worker can tell who keeps a \
                 transaction open",
                found.role
            ),
        )
    })
}

async fn horizon(config: &Config, store: &Store, found: &Examination) -> Result<Check, StoreError> {
    let limit = config.log.old_transaction;
    let old = store.old_transactions(limit).await?;
    if old.is_empty() {
        let seen = if found.sees_others { "" } else { " that this role can see" };
        let limit = age(limit.as_secs_f64());
        return Ok(Check::fine(
            "xmin horizon",
            format!("no transaction{seen} is older than {limit}"),
        ));
    }
    let shown: Vec<String> = old.iter().map(ToString::to_string).collect();
    Ok(Check::doubtful(
        "xmin horizon",
        shown.join("; "),
        "end it (pg_terminate_backend, ROLLBACK PREPARED, pg_drop_replication_slot): the queue \
         grows slow while the server must keep what it could see",
    ))
}

async fn clock(store: &Store) -> Result<Check, StoreError> {
    let before = setup::own_clock();
    let there = store.clock().await?;
    let after = setup::own_clock();
    let seconds = |micros: i64| micros as f64 / 1e6;
    // Somewhere between asking and hearing it was as late here.
    let ahead = seconds((before + after) / 2 - there.to_utc().timestamp_micros());
    let text = format!(
        "this host's clock is {:.1} s {} the database's",
        ahead.abs(),
        if ahead < 0.0 { "behind" } else { "ahead of" }
    );
    Ok(if ahead.abs() <= MOST_CLOCK_SECONDS {
        Check::fine("clock", text)
    } else {
        let advice = "set it by NTP: figures and leases go by the database's clock alone, but the \
                      times in this host's log are off";
        Check::doubtful("clock", text, advice)
    })
}
