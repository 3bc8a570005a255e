//! `worker run` with targets: one [`Service`] for each, in one process.
//!
//! Each target connects, drains and breaks its circuit alone, so a target that is down, silent or slow
//! costs the others nothing but the processor. The targets share signals, the schedule, HTTP, systemd and
//! the budgets of servers. The list of targets changes while the process runs.

mod http;
mod state;

pub use http::MakePages;
pub use state::{Sums, TargetState};

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aggregation::catalogue::Catalogue;
use store::ServerBudgets;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet, LocalSet};

use super::schedule::{Schedule, Ticks};
use super::signals::Signals;
use super::supervisor::Supervisor;
use super::{PageWork, Parts, Service, lock};
use crate::config::{DirectoryRow, Loaded, Reload, Target};
use crate::exit::{self, Exit};
use crate::heartbeat::Heartbeat;
use crate::run::summary::count_from_zero;
use crate::settings::{self, Settings};
use crate::stop::Stop;
use crate::tables::counted;
use crate::{logging, metrics, setup, target};

/// How often the state of all targets is reported to systemd.
const OBSERVE: Duration = Duration::from_secs(2);

/// The settings that a reload cannot change, because they belong to the process.
const OF_PROCESS: [&str; 4] =
    ["http.", "log.format", "service.shutdown_timeout_seconds", "pool.max_per_server"];

/// The services of all targets.
pub struct Targets {
    config_file: Option<PathBuf>,
    running: Mutex<Loaded>,
    catalogue: Mutex<Arc<Catalogue>>,
    /// The targets to serve; all if empty.
    only: Vec<String>,
    stop: Stop,
    supervisor: Supervisor,
    budgets: ServerBudgets,
    members: Mutex<BTreeMap<String, Arc<Service>>>,
    began: Instant,
}

/// The rows of the directory, or why they are unknown.
type Listed = anyhow::Result<Vec<DirectoryRow>>;

/// The state that only the loop of targets uses.
struct Running {
    tasks: JoinSet<()>,
    names: HashMap<Id, String>,
    /// Targets that begin again when their former service has ended.
    next: BTreeMap<String, Target>,
    ticks: Arc<Ticks>,
    /// Lists of targets that were read.
    lists: (mpsc::Sender<Listed>, mpsc::Receiver<Listed>),
    is_reading: bool,
    /// The rows of the directory as it was read last.
    rows: Vec<DirectoryRow>,
    /// The problem that was logged last.
    problem: Option<String>,
    last_summary: Instant,
}

/// Serves all targets, or those of `only`, until a stop is requested. The port for HTTP serves their pages, too.
///
/// # Errors
/// If the configuration cannot be used, a name of `only` is in no list, or the address for HTTP is taken.
pub async fn run(
    config_file: Option<&Path>,
    loaded: Loaded,
    only: Vec<String>,
    pages: MakePages,
) -> anyhow::Result<Exit> {
    let signals = Signals::install()?;
    let targets = Arc::new(Targets::new(config_file, loaded, only)?);
    let config = lock(&targets.running).config.clone();
    let page_work: PageWork = match config.http.listen() {
        Some(address) => http::serve(Arc::clone(&targets), address, &config.http, pages).await?,
        None => Box::pin(std::future::pending()),
    };
    let listed = lock(&targets.running).targets(&[])?;
    tracing::info!(
        event = "service_started",
        version = env!("CARGO_PKG_VERSION"),
        targets = listed.len(),
        max_per_server = config.pool.max_per_server,
        "Service started with {}",
        counted(listed.len() as i64, "target", "targets")
    );
    let mut running = Running::new();
    let serving = async {
        tokio::task::spawn_local(page_work);
        targets.apply(listed, &mut running);
        targets.supervisor.ready();
        targets.tend(signals, &mut running).await?;
        targets.supervisor.stopping();
        while running.tasks.join_next().await.is_some() {}
        anyhow::Ok(())
    };
    LocalSet::new().run_until(serving).await?;
    tracing::info!(
        event = "service_stopped",
        up_s = targets.began.elapsed().as_secs(),
        "Service stopped"
    );
    targets.supervisor.flush();
    Ok(exit::DONE)
}

impl Running {
    fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            names: HashMap::new(),
            next: BTreeMap::new(),
            ticks: Arc::default(),
            lists: mpsc::channel(1),
            is_reading: false,
            rows: Vec::new(),
            problem: None,
            last_summary: Instant::now(),
        }
    }
}

impl Targets {
    fn new(config_file: Option<&Path>, loaded: Loaded, only: Vec<String>) -> anyhow::Result<Self> {
        let config = &loaded.config;
        // The common settings must be usable, even if no target is listed yet.
        let catalogue = Arc::new(settings::catalogue(config)?);
        Settings::with_catalogue(config, Arc::clone(&catalogue))?;
        Ok(Self {
            config_file: config_file.map(Path::to_owned),
            catalogue: Mutex::new(catalogue),
            only,
            stop: Stop::on_signals(config.service.shutdown_timeout, exit::DONE)?,
            supervisor: Supervisor::from_environment(),
            budgets: ServerBudgets::new(config.pool.max_per_server),
            members: Mutex::default(),
            began: Instant::now(),
            running: Mutex::new(loaded),
        })
    }

    /// The service of a target; `None` if there is none, or it ends.
    pub fn service_of(&self, name: &str) -> Option<Arc<Service>> {
        let service = lock(&self.members).get(name).cloned();
        service.filter(|service| !service.stop.is_requested())
    }

    /// The request to stop.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The name of this worker: name@host:process.
    pub fn worker(&self) -> String {
        setup::identity(&lock(&self.running).config.session.application_name)
    }

    /// Keeps the list of targets, handles signals and reports, until a stop is requested.
    async fn tend(&self, mut signals: Signals, running: &mut Running) -> anyhow::Result<()> {
        let mut schedule = Some(self.schedule(running).await?);
        let mut verbose = false;
        // The directory is asked at once; the file was read at the start.
        let mut last_read = None::<Instant>;
        let mut last_observed = Instant::now();
        loop {
            let every = lock(&self.running).config.targets_from.reload;
            let due = last_read.map_or(Duration::ZERO, |last| every.saturating_sub(last.elapsed()));
            tokio::select! {
                () = tokio::time::sleep(due), if !running.is_reading => {
                    last_read = Some(Instant::now());
                    self.read(running);
                }
                Some(listed) = running.lists.1.recv() => self.accept(listed, running),
                Some(ended) = running.tasks.join_next_with_id() => {
                    let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, ())| *id);
                    self.ended(id, ended.is_err(), running);
                }
                () = running.ticks.next() => self.tick(&running.ticks),
                _ = signals.hangup.recv() => {
                    verbose = false;
                    let before = lock(&self.running).config.schedule.clone();
                    self.reload(running);
                    if lock(&self.running).config.schedule != before {
                        if let Some(former) = schedule.take() {
                            former.stop().await;
                        }
                        schedule = Some(self.schedule(running).await?);
                    }
                    last_read = None;
                }
                _ = signals.user1.recv() => {
                    verbose = !verbose;
                    let level = lock(&self.running).config.log.level.clone();
                    logging::toggle(verbose, level);
                }
                () = tokio::time::sleep(OBSERVE.saturating_sub(last_observed.elapsed())) => {
                    last_observed = Instant::now();
                    self.observe(running);
                }
                () = self.stop.requested() => break,
            }
        }
        self.stop_all();
        Ok(())
    }

    async fn schedule(&self, running: &Running) -> anyhow::Result<Schedule> {
        let patterns = lock(&self.running).config.schedule.clone();
        Schedule::start(&patterns, &running.ticks).await
    }

    /// Wakes the targets that only the schedule wakes. Others poll anyway.
    fn tick(&self, ticks: &Ticks) {
        let kinds = ticks.take();
        if lock(&self.running).config.schedule.poll.is_none() {
            for service in lock(&self.members).values() {
                kinds.iter().for_each(|kind| service.ticks.tick(*kind));
            }
        }
    }

    /// Asks the directory in a task of its own: a silent one must not delay a stop.
    fn read(&self, running: &mut Running) {
        running.is_reading = true;
        let (config, listed) = (lock(&self.running).config.clone(), running.lists.0.clone());
        tokio::spawn(async move {
            let rows = setup::directory(&config).await;
            // The receiver is gone only after a stop.
            let _ = listed.send(rows).await;
        });
    }

    /// Serves the targets of a new list. If it has a mistake, the former one stays.
    fn accept(&self, rows: Listed, running: &mut Running) {
        running.is_reading = false;
        let listed = rows.and_then(|rows| {
            let listed = lock(&self.running).targets(&rows)?;
            anyhow::Ok((rows, listed))
        });
        match listed {
            Ok((rows, listed)) => {
                running.rows = rows;
                running.problem = None;
                self.apply(listed, running);
            }
            Err(error) => {
                let problem = format!("{error:#}");
                if running.problem.as_ref() != Some(&problem) {
                    for line in problem.lines() {
                        tracing::error!(
                            event = "targets_refused",
                            problem = line,
                            "List of targets refused; the former one stays in force: {line}"
                        );
                    }
                }
                running.problem = Some(problem);
            }
        }
    }

    /// Ends services that the list does not name any more, begins new ones, and passes changed settings on.
    fn apply(&self, mut listed: Vec<Target>, running: &mut Running) {
        if !self.only.is_empty() {
            listed.retain(|target| self.only.contains(&target.name));
        }
        let mut left: BTreeMap<String, Target> =
            listed.into_iter().map(|target| (target.name.clone(), target)).collect();
        running.next.clear();
        let members: Vec<_> =
            lock(&self.members).iter().map(|(name, of)| (name.clone(), Arc::clone(of))).collect();
        for (name, service) in members {
            match left.remove(&name) {
                None => self.end(&name, &service),
                Some(target) if service.stop.is_requested() => {
                    running.next.insert(name, target);
                }
                Some(target) => self.change(&service, target, running),
            }
        }
        for target in left.into_values() {
            self.begin(target, running);
        }
    }

    fn end(&self, name: &str, service: &Service) {
        if !service.stop.is_requested() {
            tracing::info!(
                event = "target_removed",
                target.name = name,
                "Target {name} is in no list any more: its running group is finished, its rows are released"
            );
            service.stop.request();
        }
    }

    /// Passes settings to a target's service; it begins again if they need that.
    fn change(&self, service: &Service, target: Target, running: &mut Running) {
        let mut reload = Reload::between(&lock(&service.running), target.loaded.clone());
        reload.needs_restart.retain(|key| !is_of_process(key));
        if reload.changed.is_empty() && reload.needs_restart.is_empty() {
            return;
        }
        let name: Arc<str> = target.name.as_str().into();
        let catalogue = Arc::clone(&lock(&self.catalogue));
        match Settings::with_catalogue(&reload.loaded.config, catalogue) {
            Ok(settings) if reload.needs_restart.is_empty() => {
                target::within_sync(name, || service.apply(reload, settings));
            }
            _ => {
                service.stop.request();
                running.next.insert(target.name.clone(), target);
            }
        }
    }

    fn begin(&self, target: Target, running: &mut Running) {
        let name: Arc<str> = target.name.as_str().into();
        let service = match self.service(target.loaded) {
            Ok(service) => Arc::new(service),
            Err(error) => {
                tracing::error!(
                    event = "target_refused",
                    target.name = &*name,
                    problem = format!("{error:#}"),
                    "Target {name} cannot be served: {error:#}"
                );
                return;
            }
        };
        tracing::info!(event = "target_added", target.name = &*name, "Target {name} is served");
        lock(&self.members).insert(name.to_string(), Arc::clone(&service));
        let serve = target::within(Arc::clone(&name), async move {
            count_from_zero();
            service.serve_target().await;
            metrics::forget_target();
        });
        let task = running.tasks.spawn_local(serve);
        running.names.insert(task.id(), name.to_string());
    }

    fn service(&self, loaded: Loaded) -> anyhow::Result<Service> {
        let listener = self.supervisor.clone();
        let catalogue = Arc::clone(&lock(&self.catalogue));
        let parts = Parts {
            settings: Settings::with_catalogue(&loaded.config, catalogue)?,
            stop: Stop::within(loaded.config.service.shutdown_timeout),
            supervisor: Supervisor::none(),
            // The process is alive as long as one target makes progress.
            heartbeat: Heartbeat::heard_by(move || listener.alive()),
            budgets: Some(self.budgets.clone()),
        };
        Ok(Service::from_parts(None, loaded, parts))
    }

    /// The service of a target has ended.
    fn ended(&self, id: Id, has_panicked: bool, running: &mut Running) {
        let Some(name) = running.names.remove(&id) else { return };
        lock(&self.members).remove(&name);
        if has_panicked {
            // The next reading of the list begins it again.
            tracing::error!(
                event = "target_panicked",
                target.name = name,
                "A bug ended the service of target {name}; it begins again with the next reading of the list"
            );
        }
        if let Some(target) = running.next.remove(&name) {
            self.begin(target, running);
        }
    }

    fn stop_all(&self) {
        for service in lock(&self.members).values() {
            service.stop.request();
        }
        self.supervisor.status("Stopping: running groups are finished".to_owned());
    }

    /// Reads the configuration again, and the list with it.
    fn reload(&self, running: &mut Running) {
        self.supervisor.reloading();
        if let Err(error) = self.try_to_reload(running) {
            for problem in format!("{error:#}").lines() {
                tracing::error!(
                    event = "reload_refused",
                    problem,
                    "Reload refused; the former configuration stays in force: {problem}"
                );
            }
        }
        self.supervisor.ready();
    }

    fn try_to_reload(&self, running: &mut Running) -> anyhow::Result<()> {
        let new = setup::load(self.config_file.as_deref())?;
        logging::check(&new.config.log)?;
        let catalogue = Arc::new(settings::catalogue(&new.config)?);
        Settings::with_catalogue(&new.config, Arc::clone(&catalogue))?;
        let listed = new.targets(&running.rows)?;
        let Reload { changed, needs_restart, .. } =
            Reload::between(&lock(&self.running), new.clone());
        let changed: Vec<&str> = changed
            .iter()
            .chain(needs_restart.iter().filter(|key| !is_of_process(key)))
            .map(String::as_str)
            .collect();
        let changed = changed.join(" ");
        let _ = logging::set_level(&new.config.log.level);
        *lock(&self.catalogue) = catalogue;
        *lock(&self.running) = new;
        tracing::info!(event = "reloaded", changed, "Configuration reloaded; changed: {changed}");
        let keys: Vec<&str> =
            needs_restart.iter().filter(|key| is_of_process(key)).map(String::as_str).collect();
        if !keys.is_empty() {
            let keys = keys.join(" ");
            tracing::warn!(event = "restart_needed", keys, "Restart needed for: {keys}");
        }
        self.apply(listed, running);
        Ok(())
    }
}

/// Whether a change of this key needs a restart of the process.
fn is_of_process(key: &str) -> bool {
    key == "targets" || OF_PROCESS.iter().any(|begin| key.starts_with(begin))
}
