//! `worker demo`: the whole process on real data, in a private PostgreSQL that is removed afterwards.

mod figures;
mod kept;
mod last_days;
mod log;
mod own;
mod serve;

use std::path::Path;
use std::time::Duration;

use aggregation::Kind;
use anyhow::Context;
use indicatif::ProgressBar;
use local_postgres::{Binaries, LocalPostgres};
use store::{MigrateOptions, Store};
use tokio_util::sync::CancellationToken;

use super::{report, run_once};
use crate::cli::{self, ImportKind};
use crate::config::{Config, Secret};
use crate::exit::{self, Exit};
use crate::heartbeat::Heartbeat;
use crate::import::import;
use crate::run::batch_sizer::BatchSizer;
use crate::run::context::WorkerContext;
use crate::run::crash_loop::CrashLoopGuard;
use crate::run::current::CurrentBatches;
use crate::run::drain::Limits;
use crate::run::long_groups::LongGroups;
use crate::settings::{Settings, SharedSettings};
use crate::setup;
use crate::stop::Stop;
use crate::tables::{counted, thousands};
use crate::throttle::Throttle;
use crate::{logging, output, progress};

/// The files of `demo-data`; its README names their origin.
const FILES: [(&str, ImportKind, &str); 4] = [
    ("profiles", ImportKind::Profiles, include_str!("../../../demo-data/user_profiles.csv")),
    ("vitals", ImportKind::Vitals, include_str!("../../../demo-data/vitals.csv")),
    ("nutrition", ImportKind::Nutrition, include_str!("../../../demo-data/nutrition.csv")),
    ("labs", ImportKind::Labs, include_str!("../../../demo-data/labs.csv")),
];

/// Rows per claim: the maximum batch size, so that the log stays short.
const BATCH_SIZE: u32 = 200;

/// Runs the demo.
///
/// # Errors
/// The reason why it failed.
pub async fn execute(config: Option<&Path>, arguments: &cli::Demo) -> anyhow::Result<Exit> {
    let loaded = setup::load(config)?;
    if !arguments.data.is_empty() {
        return own::execute(loaded, arguments).await;
    }
    let mut config = loaded.config.clone();
    config.batch.size = BATCH_SIZE;
    config.batch.min_size = BATCH_SIZE;
    config.batch.max_size = BATCH_SIZE;
    // The log is part of the demo's output.
    logging::start_as(&config.log, log::Lines::new())?;

    let stop = Stop::on_signals(config.service.shutdown_timeout, exit::INTERRUPTED)?;
    let server = tokio::select! {
        server = tokio::task::spawn_blocking(|| start_server_at(None)) => {
            server.context("the private PostgreSQL could not be started")??
        }
        () = stop.requested() => return Ok(exit::INTERRUPTED),
    };
    config.database.url = Secret::new(server.url("postgres"));
    let shown = tokio::select! {
        shown = show(&config, &stop, arguments.html.as_deref()) => shown.map(|()| exit::DONE),
        () = stop.requested() => Ok(exit::INTERRUPTED),
    };
    let shown = match shown {
        Ok(exit) if exit == exit::DONE && arguments.serve => serve::serve(loaded, &config).await,
        shown => shown,
    };
    // Dropping the server stops it and removes its folder, also after an error.
    drop(server);
    if shown.is_ok() {
        output::print("\nThe private PostgreSQL is stopped and its folder removed.");
    }
    shown
}

/// Starts a server in this folder, or in a temporary one.
fn start_server_at(folder: Option<&Path>) -> anyhow::Result<LocalPostgres> {
    let binaries = Binaries::find_or_install(output::say)?;
    let server = match folder {
        Some(folder) => LocalPostgres::start_at(&binaries, folder)?,
        None => LocalPostgres::start(&binaries)?,
    };
    output::print(&format!(
        "1. A private PostgreSQL {} runs in\n   {}.",
        binaries.version(),
        server.socket_directory().display()
    ));
    Ok(server)
}

async fn migrate(store: &Store, options: MigrateOptions) -> anyhow::Result<()> {
    let applied = store::migrate_with(store, Duration::from_secs(60), options).await?.applied;
    output::print(&format!(
        "2. The schema is migrated: {} applied.",
        counted(applied.len() as i64, "migration", "migrations")
    ));
    Ok(())
}

/// All that a drain of the whole queue needs.
fn work(store: Store, settings: Settings, stop: &Stop, batch_size: u32) -> (WorkerContext, Limits) {
    let limits = Limits {
        kinds: Kind::ALL.to_vec(),
        max_batches: None,
        time_budget: None,
        cancel: CancellationToken::new(),
        until_empty: true,
    };
    let context = WorkerContext {
        batches: CurrentBatches::default(),
        assumed_zone: crate::run::assumed_zone::AssumedZone::default(),
        long_groups: LongGroups::default(),
        store,
        settings: SharedSettings::new(settings),
        stop: stop.clone(),
        heartbeat: Heartbeat::unheard(),
        crash_loop_guard: CrashLoopGuard::default(),
        batch_sizer: BatchSizer::new(batch_size),
        throttle: Throttle::default(),
    };
    (context, limits)
}

async fn show(config: &Config, stop: &Stop, html: Option<&Path>) -> anyhow::Result<()> {
    let settings = Settings::from_config(config)?;
    let default_zone = settings.default_zone;
    let store = setup::connect_with(config, &|_| None, None).await?;
    migrate(&store, MigrateOptions::default()).await?;

    output::print("3. Real data goes into the raw tables; triggers queue each row:");
    for (name, kind, text) in FILES {
        let bar = progress::bytes(name, Some(text.len() as u64));
        let complain = |bad: &crate::import::lines::BadLine| {
            output::say(&format!("{name}, line {}: {}", bad.number, bad.problem));
        };
        let imported =
            import(&store, kind, text.as_bytes(), false, complain, |at| bar.set_position(at))
                .await?;
        bar.finish_and_clear();
        output::print(&format!("   {:>7} {name}", thousands(imported.rows as i64)));
    }

    output::print(&format!(
        "4. The queue is drained in batches of {BATCH_SIZE}, a transaction for each user's date:\n"
    ));
    let (context, limits) = work(store, settings, stop, BATCH_SIZE);
    let run =
        run_once::run(&context, &limits, "demo", "dayfold-demo", &ProgressBar::hidden()).await?;
    summary(&context.store, &run).await?;
    figures::show(&context.store, default_zone).await?;
    if let Some(file) = html {
        let (from, to) = figures::week_of_meals();
        let dates = store::ReportDates::Range(from, to);
        let user = figures::EATER.into();
        let read = context.store.user_report(&user, dates, default_zone).await?;
        let catalogue = &context.settings.get().catalogue;
        report::write(&read, catalogue, ::report::UnitChoice::default(), file)?;
        let shown = file.display();
        output::print_success(&format!("\nA week of meals as a page, for a browser:\n   {shown}"));
    }
    output::print(&from_here());
    Ok(())
}

/// The next steps, as commands to copy. A user who has only built the program has no installed `worker`
/// yet.
fn from_here() -> String {
    let alias = alias().map_or_else(String::new, |alias| format!("   {alias}\n"));
    FROM_HERE.replace("@ALIAS@", &alias)
}

/// The alias that the shell needs; `None` if it finds the program by its name.
fn alias() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let folders = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&folders).any(|folder| Some(folder.as_path()) == program.parent()) {
        return None;
    }
    let shown = program.display().to_string();
    // If the path would need quoting, the reader has to write it.
    let is_plain = shown.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
    is_plain.then(|| format!("alias worker={shown}"))
}

async fn summary(store: &Store, run: &run_once::Run) -> anyhow::Result<()> {
    let counts = run.report.counts;
    let figures = store.count_figures().await?;
    let seconds = run.duration.as_secs_f64();
    let rate = (counts.rows_claimed as f64 / seconds.max(0.001)) as i64;
    output::print(&format!(
        "\n5. {} in {seconds:.1} s ({} rows/s): {} committed, {} failed;\n   \
         {} rejected. No group held a connection for longer than {:.0} ms.\n   \
         They made {} hours and {} days of vitals, {} days of blood\n   \
         pressure, {} of nutrition and {} of labs.",
        counted(counts.rows_claimed, "row", "rows"),
        thousands(rate),
        counted(counts.groups_committed, "group", "groups"),
        thousands(counts.groups_failed),
        counted(counts.rows_rejected, "row", "rows"),
        run.report.held_longest.as_secs_f64() * 1e3,
        thousands(figures.vitals_hours),
        thousands(figures.vitals_days),
        thousands(figures.blood_pressure_days),
        thousands(figures.nutrition_days),
        thousands(figures.lab_days),
    ));
    Ok(())
}

const FROM_HERE: &str = "
From here, with a database of your own:

@ALIAS@   export DATABASE_URL=postgresql://user@host/database
   worker migrate                        makes tables, queue and triggers
   worker import --kind vitals FILE.csv  or let your app insert into vitals_raw
   worker run-once                       computes everything that is due
   worker status                         shows what is due and what was done
   worker report --user U --from D --to D --html FILE
                                         draws some days of one user as a page

The figures stand in vitals_daily, vitals_hourly, blood_pressure_daily,
glucose_daily, sleep_daily, nutrition_daily and lab_daily.";
