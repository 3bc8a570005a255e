//! Signals of the operator, and the schedule that a reload may change.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::schedule::Schedule;
use super::{Service, lock};
use crate::config::{ConfigError, Loaded, Reload};
use crate::logging;
use crate::settings::Settings;
use crate::setup;

/// Signals that do not stop the service. Without a handler each would end the process, so the service
/// installs the handlers first.
pub struct Signals {
    pub(super) hangup: Signal,
    pub(super) user1: Signal,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn install() -> anyhow::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }
}

impl Service {
    /// Runs the schedule and handles signals, for ever.
    ///
    /// # Errors
    /// If the schedule cannot be started.
    pub(super) async fn handle_signals(&self, mut signals: Signals) -> anyhow::Result<()> {
        let mut schedule = Schedule::start(&self.config().schedule, &self.ticks).await?;
        let mut verbose = false;
        let mut stopping = false;
        loop {
            tokio::select! {
                _ = signals.hangup.recv() => {
                    verbose = false;
                    let before = self.config().schedule;
                    self.reload();
                    let after = self.config().schedule;
                    if before != after {
                        schedule.stop().await;
                        schedule = Schedule::start(&after, &self.ticks).await?;
                    }
                }
                _ = signals.user1.recv() => {
                    verbose = !verbose;
                    self.log_at(verbose);
                }
                () = self.stop.requested(), if !stopping => {
                    stopping = true;
                    self.supervisor.stopping();
                    self.database.changed.notify_one();
                }
            }
        }
    }

    fn log_at(&self, verbose: bool) {
        logging::toggle(verbose, self.config().log.level);
    }

    fn reload(&self) {
        self.supervisor.reloading();
        match self.read_again() {
            Ok((reload, settings)) => self.apply(reload, settings),
            Err(error) => {
                let problems = match error.downcast_ref::<ConfigError>() {
                    Some(problems) => problems.to_string(),
                    None => format!("{error:#}"),
                };
                for problem in problems.lines() {
                    tracing::error!(
                        event = "reload_refused",
                        problem,
                        "Reload refused; the former configuration stays in force: {problem}"
                    );
                }
            }
        }
        self.supervisor.ready();
    }

    fn read_again(&self) -> anyhow::Result<(Reload, Settings)> {
        let new = setup::load(self.config_file.as_deref())?;
        let reload = Reload::between(&lock(&self.running), new);
        logging::check(&reload.loaded.config.log)?;
        let settings = Settings::from_config(&reload.loaded.config)?;
        setup::check_url(&reload.loaded.config)?;
        Ok((reload, settings))
    }

    pub(super) fn apply(&self, reload: Reload, settings: Settings) {
        let Reload { loaded, changed, needs_restart } = reload;
        let level = loaded.config.log.level.clone();
        self.settings.set(settings);
        *lock::<Loaded>(&self.running) = loaded;
        let _ = logging::set_level(&level);
        if changed.iter().any(|key| key == "database.url") {
            self.database.reconnect();
        }
        if changed.iter().any(|key| key == "batch.size") {
            self.batch_sizer.restart(lock(&self.running).config.batch.size);
        }
        let changed = changed.join(" ");
        tracing::info!(event = "reloaded", changed, "Configuration reloaded; changed: {changed}");
        if !needs_restart.is_empty() {
            let keys = needs_restart.join(" ");
            tracing::warn!(event = "restart_needed", keys, "Restart needed for: {keys}");
        }
        self.database.changed.notify_one();
    }
}
