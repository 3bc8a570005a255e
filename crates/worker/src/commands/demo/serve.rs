//! `worker demo --serve`: the service runs on the demo's server. Without data of the user's own, new rows
//! keep arriving.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use chrono::NaiveDate;
use store::Store;

use crate::cli::ImportKind;
use crate::commands::page;
use crate::config::{Config, Loaded, Secret};
use crate::exit::Exit;
use crate::import::import;
use crate::{output, service, setup};

/// Where the page is if the configuration names no port.
const PORT: u16 = 9187;

/// The pause between two readings that arrive.
const BETWEEN_READINGS: Duration = Duration::from_secs(1);

/// The user whose readings arrive.
const USER: i64 = 1;

/// Runs the service and the page until a stop is requested, while readings arrive.
///
/// # Errors
/// If the port is taken.
pub async fn serve(mut loaded: Loaded, of_demo: &Config) -> anyhow::Result<Exit> {
    prepare(&mut loaded.config, of_demo);
    let config = &loaded.config;
    output::print("\n6. The service runs on these data, and a heart rate arrives each second.");
    say(config, &USER.to_string(), today());
    let store = setup::connect_with(&few(config), &|_| None, None).await?;
    tokio::select! {
        served = service::run(None, loaded, page::router) => served,
        never = send_readings(&store) => match never {},
    }
}

/// Runs the service and the page on data of the user's own until a stop is requested.
///
/// # Errors
/// If the port is taken.
pub async fn serve_own(
    mut loaded: Loaded,
    of_demo: &Config,
    user: &str,
    last: NaiveDate,
) -> anyhow::Result<Exit> {
    prepare(&mut loaded.config, of_demo);
    output::print("\n6. The service runs on your data.");
    say(&loaded.config, user, last);
    service::run(None, loaded, page::router).await
}

fn prepare(config: &mut Config, of_demo: &Config) {
    config.database.url = of_demo.database.url.clone();
    if config.http.port == 0 {
        config.http.port = PORT;
    }
    config.service.observe = config.service.observe.min(Duration::from_secs(2));
    if config.http.operator_token.expose().is_empty() {
        config.http.operator_token = Secret::new(token());
    }
}

fn say(config: &Config, user: &str, day: NaiveDate) {
    let address = SocketAddr::new(config.http.address, config.http.port);
    let user = percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC);
    output::print(&format!(
        "   Open      http://{address}/\n   Sign in   {}\n   \
         Look at   http://{address}/users/{user}/days/{day}\n   End it with Ctrl-C.\n",
        config.http.operator_token.expose()
    ));
}

/// The application of the demo has a connection of its own.
fn few(config: &Config) -> Config {
    let mut config = config.clone();
    config.pool.max_size = 1;
    config.pool.min_idle = 1;
    config.session.application_name = "dayfold-demo-app".to_owned();
    config
}

/// The date in UTC.
pub fn today() -> NaiveDate {
    alerts::own_clock().to_utc().date_naive()
}

/// Sends a reading each second, as an app does, for ever.
async fn send_readings(store: &Store) -> Infallible {
    let mut number: u32 = 0;
    loop {
        let at = alerts::own_clock().to_utc().to_rfc3339();
        let rate = 60 + (number * 7) % 25;
        let csv = format!(
            "user_id,metric,value,unit,source,started_at,ended_at\n{USER},heart_rate,{rate},bpm,demo watch,{at},{at}\n"
        );
        let _ = import(store, ImportKind::Vitals, csv.as_bytes(), false, |_| (), |_| ()).await;
        number = number.wrapping_add(1);
        tokio::time::sleep(BETWEEN_READINGS).await;
    }
}

/// 20 characters by chance: it protects the data on this host, for as long as the demo runs.
fn token() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(20).collect()
}
