//! `worker demo --data`: files of the user's own, in a private PostgreSQL on this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aggregation::local_time::Zone;
use aggregation::{UserId, UserIdType};
use anyhow::{Context, bail};
use chrono::NaiveDate;
use local_postgres::LocalPostgres;
use rustix::fs::statvfs;
use store::{MigrateOptions, Pooler, ProfileRow, ReportDates, Store};

use super::{kept, last_days, serve};
use crate::cli;
use crate::commands::{import, report, run_once};
use crate::config::{Config, Loaded, Secret};
use crate::exit::{self, Exit};
use crate::import::Imported;
use crate::import::source::{Content, Source};
use crate::settings::Settings;
use crate::stop::Stop;
use crate::tables::counted;
use crate::verbosity::{self, Verbosity};
use crate::{logging, output, setup};

/// The user of an export, which names none.
const USER: &str = "1";

/// The page without --html and without --keep.
const PAGE: &str = "dayfold-report.html";

/// The time to write a large server's files to the disk after Ctrl-C has ended the service.
const LONGEST_STOP: Duration = Duration::from_secs(600);

/// A disk with less space than this, in bytes, is the cause of any failure: a segment of PostgreSQL's
/// write-ahead log.
const FULL: u64 = 16 << 20;

/// The files and how they are read.
struct Own<'a> {
    arguments: &'a cli::Demo,
    sources: Vec<Source>,
    user: String,
    id_type: UserIdType,
    user_id: UserId,
    zone: Zone,
    page: PathBuf,
    keep: Option<PathBuf>,
}

/// The results.
struct Shown {
    /// The exit code.
    exit: Exit,
    /// The user.
    user: String,
    /// The first and the last date of the page.
    dates: (NaiveDate, NaiveDate),
}

/// Loads the files, computes the figures and draws the page.
///
/// # Errors
/// The reason why it failed.
pub async fn execute(mut loaded: Loaded, arguments: &cli::Demo) -> anyhow::Result<Exit> {
    let mut own = Own::prepare(&loaded.config, arguments)?;
    make_private(&mut loaded.config);
    loaded.config.aggregation.default_time_zone = own.zone.to_string();
    let mut config = loaded.config.clone();
    if verbosity::asked() == Verbosity::AsConfigured {
        // A line for each of thousands of batches would hide the results.
        "warn".clone_into(&mut config.log.level);
    }
    logging::start_as(&config.log, super::log::Lines::new())?;

    let stop = Stop::on_signals(LONGEST_STOP, exit::INTERRUPTED)?;
    let keep = own.keep.clone();
    let mut starting = tokio::task::spawn_blocking(move || super::start_server_at(keep.as_deref()));
    let server = tokio::select! {
        biased;
        () = stop.requested() => {
            // A server that is complete removes its files when it is dropped.
            drop(starting.await);
            return Ok(exit::INTERRUPTED);
        }
        started = &mut starting => started.context("the private PostgreSQL could not be started")??,
    };
    config.database.url = Secret::new(server.url("postgres"));
    let shown = tokio::select! {
        // First, so that a part of the work that notices the request has no result.
        biased;
        () = stop.requested() => Ok(None),
        shown = own.show(&config, &stop) => shown.map(Some),
    };
    let shown = match shown {
        Ok(Some(shown)) if arguments.serve => {
            let served = serve::serve_own(loaded, &config, &shown.user, shown.dates.1).await;
            served.map(|_| Some(shown))
        }
        shown => shown.map_err(|error| explain(error, server.socket_directory())),
    };
    own.finish(server, shown).await
}

impl<'a> Own<'a> {
    /// Refuses wrong arguments and files before a server is started.
    fn prepare(config: &Config, arguments: &'a cli::Demo) -> anyhow::Result<Self> {
        let mut sources = Vec::new();
        for file in &arguments.data {
            sources.push(Source::open(file, None)?);
        }
        let table = sources.iter().find(|source| matches!(source.content, Content::Table(_)));
        if let (Some(table), None) = (table, &arguments.user) {
            bail!(
                "{}: CSV names the user of each row; give --user ID to say whose page is drawn",
                table.name
            );
        }
        let user = arguments.user.clone().unwrap_or_else(|| USER.to_owned());
        let (id_type, user_id) = id_of(&user);
        let zone = match arguments.time_zone.or_else(zone_of_machine) {
            Some(zone) => zone,
            None => Settings::from_config(config)?.default_zone,
        };
        let keep = arguments.keep.as_deref().map(kept::require_empty).transpose()?;
        let page = arguments.html.clone().unwrap_or_else(|| match &keep {
            Some(folder) => folder.join(kept::PAGE),
            None => PAGE.into(),
        });
        if keep.is_none() || arguments.html.is_some() {
            report::check(&page)?;
        }
        Ok(Self { arguments, sources, user, id_type, user_id, zone, page, keep })
    }

    /// All steps between the start of the server and its end.
    async fn show(&mut self, config: &Config, stop: &Stop) -> anyhow::Result<Shown> {
        let settings = Settings::from_config(config)?;
        let catalogue = Arc::clone(&settings.catalogue);
        let store = setup::connect_with(config, &|_| None, None).await?;
        super::migrate(&store, MigrateOptions { beside: false, user_id: Some(self.id_type) })
            .await?;
        let imported = self.load(&store, &catalogue, stop).await?;

        output::print("4. The queue is drained, a transaction for each date:");
        let (context, limits) = super::work(store, settings, stop, config.batch.size);
        let bar = run_once::progress_bar(&context, &limits).await?;
        let run = run_once::run(&context, &limits, "demo", "dayfold-demo", &bar).await?;
        bar.finish_and_clear();
        super::summary(&context.store, &run).await?;

        let Some((from, to)) = last_days::read(&context.store, &self.user_id, self.zone).await?
        else {
            bail!(
                "there are no figures of user {} to show: {} imported, {} rejected",
                self.user,
                counted(imported.rows as i64, "row", "rows"),
                counted(run.report.counts.rows_rejected, "row", "rows"),
            );
        };
        let dates = ReportDates::Range(from, to);
        let read = context.store.user_report(&self.user_id, dates, self.zone).await?;
        report::write(&read, &catalogue, ::report::UnitChoice::default(), &self.page)?;
        output::print(&format!(
            "\nA page of the last days, {} to {}, for a browser:\n   {}",
            from,
            to,
            std::path::absolute(&self.page).unwrap_or_else(|_| self.page.clone()).display()
        ));
        let went_well = imported.bad_lines == 0 && !run.report.has_failures();
        Ok(Shown {
            exit: if went_well { exit::DONE } else { exit::DONE_WITH_FAILURES },
            user: self.user.clone(),
            dates: (from, to),
        })
    }

    /// Loads the files.
    async fn load(
        &mut self,
        store: &Store,
        catalogue: &Arc<aggregation::catalogue::Catalogue>,
        stop: &Stop,
    ) -> anyhow::Result<Imported> {
        let profile = ProfileRow {
            user_id: self.user_id.clone(),
            time_zone: self.zone.to_string(),
            source_priority: Vec::new(),
        };
        store.write_profiles(&[profile]).await?;
        output::print(&format!(
            "3. Your data become raw rows of user {}. Their days are those of\n   {}{}.",
            self.user,
            self.zone,
            match self.arguments.time_zone {
                Some(_) => "",
                None => ", the zone of this machine; --time-zone names another",
            }
        ));
        let arguments = cli::Import {
            files: self.arguments.data.clone(),
            user: Some(self.user.clone()),
            time_zone: None,
            kind: None,
            skip_unknown_columns: false,
            json: false,
        };
        let mut whole = Imported::default();
        for source in std::mem::take(&mut self.sources) {
            let (name, content, length) = (source.name.clone(), source.content, source.length);
            let imported = import::one_file(store, source, &arguments, catalogue, stop);
            let imported = imported.await.with_context(|| name.clone())?;
            import::complain(&name, content, &imported);
            let text = import::sentence(content, &imported, length).replace('\n', "\n   ");
            output::print(&format!("   {text}"));
            import::add(&mut whole, imported);
        }
        if whole.rows == 0 {
            let files = self.arguments.data.iter().map(|file| file.display().to_string());
            bail!(
                "{}: nothing in it can be imported, so there are no figures to show",
                files.collect::<Vec<_>>().join(", ")
            );
        }
        Ok(whole)
    }

    /// Keeps the server, or removes everything.
    async fn finish(
        self,
        server: LocalPostgres,
        shown: anyhow::Result<Option<Shown>>,
    ) -> anyhow::Result<Exit> {
        if let (Some(folder), Ok(Some(shown))) = (&self.keep, &shown) {
            let stopping = tokio::task::spawn_blocking(move || server.keep());
            let kept = stopping.await.context("the private PostgreSQL could not be kept")?;
            let kept = kept.inspect_err(|_| kept::remove(folder))?;
            kept::describe(folder, &kept, &shown.user, shown.dates)?;
            return Ok(shown.exit);
        }
        if let Some(folder) = &self.keep {
            kept::remove(folder);
        }
        // Dropping the server stops it and removes its folder, also after an error.
        drop(server);
        let exit = match shown? {
            Some(shown) => shown.exit,
            None => exit::INTERRUPTED,
        };
        output::print("\nThe private PostgreSQL is stopped and its folder removed.");
        Ok(exit)
    }
}

/// Removes the settings that send something elsewhere, or are about a real service's database.
fn make_private(config: &mut Config) {
    config.mail.host.clear();
    config.webhook.url = None;
    config.changes.webhook_url = None;
    config.database.schema = None;
    config.database.pooler = Pooler::None;
}

/// The id of a user, as the first type of ids that has it. A text that is none ends the process.
fn id_of(user: &str) -> (UserIdType, UserId) {
    let mut ids = UserIdType::ALL.into_iter().map(|id_type| (id_type, id_type.parse(user)));
    let mut last = None;
    for (id_type, parsed) in &mut ids {
        match parsed {
            Ok(user_id) => return (id_type, user_id),
            Err(error) => last = Some(error),
        }
    }
    let error = last.map(|error| error.to_string()).unwrap_or_default();
    cli::refuse_user(&format!("invalid value for '--user <ID>': {error}"))
}

/// The zone of this machine; `None` if it has none with a name.
fn zone_of_machine() -> Option<Zone> {
    iana_time_zone::get_timezone().ok()?.parse().ok()
}

/// Adds the cause and the remedy if the disk is full: the server's own error may be a lost connection.
fn explain(error: anyhow::Error, folder: &Path) -> anyhow::Error {
    let is_full =
        statvfs(folder).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < FULL);
    if !is_full {
        return error;
    }
    error.context(format!(
        "the disk with {} is full; free space there, or set TMPDIR, or --keep, to a folder on a larger \
         disk",
        folder.display()
    ))
}
