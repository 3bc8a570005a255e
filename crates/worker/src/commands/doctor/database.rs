//! Checks of the database after the log-in.

use std::net::IpAddr;
use std::time::Duration;

use aggregation::Kind;
use store::{
    Citus, ConnectionPlan, Endpoint, Examination, MissingRights, Pooler, SchemaState, Store,
    StoreError, Trial, schema_state,
};

use super::{Check, Checkup, Outcome};
use crate::config::Config;
use crate::output;
use crate::tables::{age, counted};

/// The first version with `date_bin`, which the claim uses.
const OLDEST_VERSION: i32 = 140_000;

/// Maximum difference of clocks, in seconds. Operators compare times in the worker's log with times in
/// the database.
const MOST_CLOCK_SECONDS: f64 = 2.0;

/// Runs all checks and changes nothing.
///
/// # Errors
/// If the database fails.
pub async fn examine(
    config: &Config,
    plan: &ConnectionPlan,
    store: &Store,
    checkup: &mut Checkup,
) -> Result<(), StoreError> {
    let found = store.examine().await?;
    checkup.add(encryption(config, plan, &found));
    checkup.add(version(&found));
    checkup.add(pooler(config));
    checkup.add(timeouts(config, &found));
    checkup.add(replication(&found));
    checkup.add(encoding(&found));
    if let Some(citus) = store.citus().await? {
        checkup.add(self::citus(&citus));
    }
    let rights = rights(store, &found).await?;
    let may_look = rights.outcome != Outcome::Wrong;
    checkup.add(rights);
    if may_look && schema(store, &found, checkup).await? {
        checkup.add(row_security(store, &found).await?);
        checkup.add(triggers(store, &found).await?);
        if found.in_recovery || found.read_only {
            checkup.add(Check::untried("queueing", "the database is read-only"));
        } else {
            checkup.add(queueing(store).await?);
        }
        checkup.add(future(store).await?);
    }
    checkup.add(budget(store).await?);
    checkup.add(sessions(store, &found).await?);
    checkup.add(horizon(config, store, &found).await?);
    checkup.add(clock(store).await?);
    Ok(())
}

/// A connection over the host's own sockets or loopback addresses cannot be intercepted.
fn encryption(config: &Config, plan: &ConnectionPlan, found: &Examination) -> Check {
    let name = "TLS";
    let own = |host: &str| {
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    let stays_here = plan.endpoints.iter().all(|endpoint| match endpoint {
        Endpoint::Socket(_) => true,
        Endpoint::Network(host, _) => own(host),
    });
    if config.database.pooler != Pooler::None {
        // The server only knows its link to the pooler.
        return if plan.insists || stays_here {
            Check::fine(name, "the connection to the pooler is encrypted, or within this host")
        } else {
            Check::doubtful(
                name,
                "the pooler decides whether the connection to it is encrypted",
                "set sslmode=verify-full",
            )
        };
    }
    match &found.tls {
        Some(protocol) if plan.verifies || stays_here => {
            Check::fine(name, format!("the session is encrypted ({protocol})"))
        }
        Some(protocol) => Check::doubtful(
            name,
            format!("encrypted ({protocol}), but the server's identity is not verified"),
            "set sslmode=verify-full, with sslrootcert if the authority is not a public one",
        ),
        None if stays_here => {
            Check::fine(name, "not encrypted, which is acceptable within this host")
        }
        None => Check::doubtful(
            name,
            "the session is not encrypted: anybody on the network path can read health data",
            "turn ssl on at the server, and set sslmode=verify-full",
        ),
    }
}

fn version(found: &Examination) -> Check {
    let Examination { version, role, database, .. } = found;
    let text = format!("PostgreSQL {version}, role {role}, database {database:?}");
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

/// The log-in checked one of the time-outs; this checks all.
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
        let short = name.replace("_session_timeout", "").replace("_timeout", "").replace('_', " ");
        shown.push(format!("{short} {}", age(wanted.as_secs_f64())));
    }
    Check::fine("time-outs", shown.join(", "))
}

fn replication(found: &Examination) -> Check {
    let name = "role";
    if found.in_recovery {
        return Check::wrong(
            name,
            "the server is a standby, which is read-only",
            format!(
                "name the primary in {}, or all hosts and target_session_attrs=read-write",
                output::url_origin()
            ),
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

fn encoding(found: &Examination) -> Check {
    let encoding = &found.encoding;
    if encoding != "SQL_ASCII" {
        return Check::fine("encoding", format!("the database stores text in {encoding}"));
    }
    Check::doubtful(
        "encoding",
        "server_encoding is SQL_ASCII: the server takes any bytes for text, and a row whose unit, metric or \
         time zone has bytes that are no UTF-8 is rejected",
        "copy the application's database into one that is made with ENCODING 'UTF8'",
    )
}

/// Whether the schema is the one that this version needs.
fn citus(found: &Citus) -> Check {
    let text = format!("Citus {}", found.version);
    match found.problem() {
        Some(problem) => Check::wrong("citus", format!("{text}: {problem}"), problem.advice()),
        None if found.is_distributed => {
            let text = format!("{text} holds this schema on one of its nodes");
            Check::fine("citus", text + "; all workers of a target must log in at the same node")
        }
        None => Check::fine("citus", format!("{text} does not hold this schema")),
    }
}

async fn schema(
    store: &Store,
    found: &Examination,
    checkup: &mut Checkup,
) -> Result<bool, StoreError> {
    let state = schema_state(store).await?;
    let schema = found.schema.as_deref().unwrap_or_default();
    let missing = match state {
        SchemaState::Current => store.missing_tables().await?,
        _ => Vec::new(),
    };
    checkup.add(match &state {
        SchemaState::Current if !missing.is_empty() => Check::wrong(
            "schema",
            format!(
                "{schema:?} is up to date by its list of migrations, but lacks {}",
                missing.join(", ")
            ),
            "restore what is missing from a backup; worker backfill computes the rows of figures",
        ),
        SchemaState::Elsewhere(elsewhere) => {
            Check::wrong("schema", elsewhere.found(), elsewhere.advice())
        }
        SchemaState::NamesTaken(taken) => Check::wrong("schema", taken.found(), taken.advice()),
        SchemaState::OutOfSight => Check::wrong(
            "schema",
            "no schema of the search_path exists, or may be used by this role",
            format!("GRANT USAGE ON SCHEMA … TO {}, or set the role's search_path", found.role),
        ),
        SchemaState::Current if !found.creators.is_empty() => {
            let creators = found.creators.join(", ");
            Check::wrong(
                "schema",
                format!(
                    "{schema:?} is up to date, but {creators} may create objects in it, functions and \
                     operators among them, which the worker would then use"
                ),
                format!("as its owner: REVOKE CREATE ON SCHEMA {schema:?} FROM {creators}"),
            )
        }
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
    Ok(state == SchemaState::Current && missing.is_empty())
}

async fn rights(store: &Store, found: &Examination) -> Result<Check, StoreError> {
    let missing = store.missing_rights().await?;
    if missing.is_empty() {
        return Ok(Check::fine("rights", "all that the worker needs"));
    }
    let shown = missing.iter().map(|missing| format!("{} on {}", missing.rights, missing.object));
    let grants = missing.iter().map(|missing| {
        let MissingRights { rights, kind, object } = missing;
        format!("GRANT {rights} ON {kind} {object} TO {};", found.role)
    });
    Ok(Check::wrong(
        "rights",
        format!("missing: {}", shown.collect::<Vec<_>>().join("; ")),
        grants.collect::<Vec<_>>().join("\n  "),
    ))
}

/// Hidden rows look deleted to the worker, so it would delete their figures.
async fn row_security(store: &Store, found: &Examination) -> Result<Check, StoreError> {
    let tables = store.row_security().await?;
    Ok(if tables.is_empty() {
        Check::fine("row security", "the worker sees every row")
    } else {
        Check::wrong(
            "row security",
            format!("policies decide which rows of {} the worker sees", tables.join(", ")),
            format!("ALTER ROLE {} BYPASSRLS, or a policy that lets it see all rows", found.role),
        )
    })
}

/// Checks the triggers in the server's catalog; [`queueing`] tests their effect.
async fn triggers(store: &Store, found: &Examination) -> Result<Check, StoreError> {
    let name = "triggers";
    let faults = store.trigger_faults().await?;
    let shown = |is_harmless| {
        let of = faults.iter().filter(|fault| fault.is_harmless == is_harmless);
        of.map(|fault| fault.found.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (harmful, harmless) = (shown(false), shown(true));
    let schema = found.schema.as_deref().unwrap_or_default();
    Ok(if !harmful.is_empty() {
        Check::doubtful(
            name,
            format!("changes of raw rows are not queued: {harmful}"),
            format!(
                "ALTER TABLE {schema:?}.… ENABLE TRIGGER … (ENABLE REPLICA TRIGGER queue_replicated), or make the trigger and its function as the \
                 migrations do; then `worker requeue` for what came meanwhile; unless something else \
                 feeds the queue"
            ),
        )
    } else if !harmless.is_empty() {
        Check::doubtful(
            name,
            format!("{harmless}: these still queue changes, but take longer"),
            "run `worker migrate`, which sets their search_path",
        )
    } else {
        Check::fine(name, "all raw tables have the triggers and functions of this version")
    })
}

/// Tests queueing with real rows, if this role may write them.
async fn queueing(store: &Store) -> Result<Check, StoreError> {
    let name = "queueing";
    let (mut failed, mut untried) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        match store.try_queueing(kind).await? {
            Trial::Works => {}
            Trial::Fails(what) => failed.push(what),
            Trial::NotTried(why) => untried.push(why),
        }
    }
    Ok(if !failed.is_empty() {
        Check::wrong(
            name,
            failed.join("; "),
            "restore the trigger, its function and its owner's rights on the queue, as `triggers` above \
             and the migrations show; then `worker requeue` for what came meanwhile",
        )
    } else if !untried.is_empty() {
        Check::untried(
            name,
            format!(
                "whether changes of raw rows reach the queue was not tried: {}; `worker doctor` as the \
                 tables' owner tries it and rolls it back",
                untried.join("; ")
            ),
        )
    } else {
        Check::fine(
            name,
            "an insert, an update and a delete were tried in each raw table, and rolled back",
        )
    })
}

async fn future(store: &Store) -> Result<Check, StoreError> {
    let rows = store.count_in_future().await?;
    Ok(if rows == 0 {
        Check::fine("queue", "no row is dated in the future")
    } else {
        Check::doubtful(
            "queue",
            format!(
                "{} dated in the future by the server's clock, which was ahead",
                counted(rows, "row is", "rows are")
            ),
            "`worker run-once` makes them due, as the service does every minute; keep the server's clock \
             by NTP",
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
    // The worker does not need this right. With it, an attacker who controls the worker could read the
    // statements of all roles.
    let hidden = "; the activity of other roles, including old transactions, is hidden without \
                  pg_read_all_stats";
    Ok(Check::fine("sessions", format!("{shown}{}", if found.sees_others { "" } else { hidden })))
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
    let before = alerts::own_clock().0;
    let there = store.clock().await?;
    let after = alerts::own_clock().0;
    let seconds = |micros: i64| micros as f64 / 1e6;
    // The server's time was read between the two local times; their middle is the estimate.
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

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::{Citus, Examination, citus, version};

    fn found() -> Examination {
        Examination {
            version: "15.3".to_owned(),
            version_number: 150_003,
            role: "app".to_owned(),
            database: "app".to_owned(),
            schema: Some("public".to_owned()),
            in_recovery: false,
            read_only: false,
            replication_role: "origin".to_owned(),
            tls: None,
            sees_others: true,
            encoding: "UTF8".to_owned(),
            creators: Vec::new(),
            timeouts: Vec::new(),
        }
    }

    #[test]
    fn a_distributed_schema_without_its_settings_is_wrong_and_says_who_changes_them() {
        let of = |triggers: &str| {
            let unsafe_triggers = Some(triggers.to_owned());
            citus(&Citus { version: "13.2-1".to_owned(), unsafe_triggers, is_distributed: true })
        };
        assert_eq!(of("on").outcome, Outcome::Fine);
        let wrong = of("off");
        assert_eq!(wrong.outcome, Outcome::Wrong);
        assert!(wrong.advice.is_some_and(|advice| advice.contains("superuser")));
    }

    #[test]
    fn a_server_without_what_the_claim_needs_is_too_old() {
        assert_eq!(version(&found()).outcome, Outcome::Fine);
        let old = Examination { version_number: 130_012, ..found() };
        assert_eq!(version(&old).outcome, Outcome::Wrong);
    }
}
