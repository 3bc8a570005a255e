//! Measures the server's processor time for casting ids of users to the domain `user_key`.
//!
//! The same worker drains the same kind of rows in turns: as it is, and through a proxy that makes each id a parameter
//! of type bigint, as if there were no domain. Both ways go through the proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream, tcp, unix};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use self::messages::Statements;
use crate::server::Server;
use crate::service::{round, tell};
use crate::worker;

mod messages;

/// Arguments of `bench user-ids`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Load {
    /// Users, each with a day of 24 rows; each drain has one new row, and so one group, for each
    #[arg(long, default_value_t = 4_000)]
    users: u64,
    /// Pairs of drains
    #[arg(long, default_value_t = 10)]
    pairs: usize,
}

const HISTORY: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT u, 'heart_rate', 50 + (u + n) % 100, 'bpm', 'watch', at, at
    FROM generate_series(1, $1::bigint) AS u, generate_series(0, 23) AS n,
         LATERAL (SELECT timestamptz '2024-05-01 00:00Z' + n * interval '30 minutes' AS at) AS t";

/// `$2` is the number of the drain.
const NEW_ROWS: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT u, 'heart_rate', 50 + u % 100, 'bpm', 'watch', at, at
    FROM generate_series(1, $1::bigint) AS u,
         LATERAL (SELECT timestamptz '2024-05-01 12:00Z' + $2::bigint * interval '1 minute' AS at) AS t";

/// What a proxy does, and has done.
#[derive(Default)]
struct Proxy {
    is_rewriting: AtomicBool,
    /// Ids and arrays of ids that statements got as bigint.
    rewritten: AtomicU64,
}

/// Drains with and without casts, in turns.
pub async fn user_ids(load: Load) -> anyhow::Result<Value> {
    let server = Server::start_with(&[("autovacuum", "off")]).await?;
    let proxy = Arc::new(Proxy::default());
    let url = serve(&server, Arc::clone(&proxy)).await?;
    let users = load.users as i64;
    server.client.execute(HISTORY, &[&users]).await?;
    worker::run(&url, &["run-once", "--time-budget", "86400", "--json"])?;
    server.client.batch_execute("VACUUM ANALYZE").await?;

    // One drain of each way before the measurement; then cast, bigint, bigint, cast, …
    let (mut cast, mut bigint) = (Vec::new(), Vec::new());
    for number in 0..2 * (load.pairs as i64 + 1) {
        let is_rewriting = matches!(number % 4, 1 | 2);
        proxy.is_rewriting.store(is_rewriting, Ordering::Relaxed);
        server.client.execute(NEW_ROWS, &[&users, &number]).await?;
        server.client.batch_execute("VACUUM ANALYZE").await?;
        let before = server.used().await?.cpu;
        let ran = worker::run(&url, &["run-once", "--time-budget", "86400", "--json"])?;
        ended(&server).await?;
        let cpu = server.used().await?.cpu - before;
        ensure!(
            ran.code == 0 && ran.json["groups_committed"] == load.users,
            "not each group was committed: {}",
            ran.json
        );
        let group = cpu * 1e6 / load.users as f64;
        tell(&format!("{}: {group:.1} µs a group", if is_rewriting { "bigint" } else { "cast" }));
        if number > 1 {
            let turns = if is_rewriting { &mut bigint } else { &mut cast };
            turns.push(group);
        }
    }
    let ids = proxy.rewritten.load(Ordering::Relaxed) as f64 / (load.pairs as f64 + 1.0);
    let mut ratios: Vec<f64> = cast.iter().zip(&bigint).map(|(cast, of)| cast / of).collect();
    let (cast, bigint, ratio) = (median(&mut cast), median(&mut bigint), median(&mut ratios));
    tell(&format!(
        "{cast:.1} µs of the server's processor time a group with casts, {bigint:.1} with bigint: {:+.1} % \
         (median of {} pairs)",
        (ratio - 1.0) * 100.0,
        ratios.len()
    ));
    Ok(json!({
        "users": load.users,
        "pairs": load.pairs,
        "cast_us": round(cast, 1),
        "bigint_us": round(bigint, 1),
        "cost_percent": round((ratio - 1.0) * 100.0, 2),
        "lowest_percent": ratios.first().map(|of| round((of - 1.0) * 100.0, 2)),
        "highest_percent": ratios.last().map(|of| round((of - 1.0) * 100.0, 2)),
        "ids_per_group": round(ids / load.users as f64, 1),
    }))
}

/// Waits until the worker's sessions have ended: the processor time of one that ends meanwhile could be missed.
async fn ended(server: &Server) -> anyhow::Result<()> {
    let sessions = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'dayfold-worker@%')";
    while server.client.query_one(sessions, &[]).await?.get(0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The server's first process then still has to see the end.
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

/// The median; sorts the numbers.
fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Starts the proxy, and returns the URL of the server through it.
async fn serve(server: &Server, proxy: Arc<Proxy>) -> anyhow::Result<String> {
    let folder: String = server
        .client
        .query_one("SELECT split_part(current_setting('unix_socket_directories'), ',', 1)", &[])
        .await?
        .get(0);
    let port: String = server.client.query_one("SELECT current_setting('port')", &[]).await?.get(0);
    let socket = format!("{folder}/.s.PGSQL.{port}");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!(
        "postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable",
        listener.local_addr()?.port()
    );
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (socket, proxy) = (socket.clone(), Arc::clone(&proxy));
            // A connection ends with the worker's process.
            tokio::spawn(async move {
                if let Err(error) = pass_on(client, &socket, &proxy).await {
                    tell(&format!("proxy: {error:#}"));
                }
            });
        }
    });
    Ok(url)
}

/// Passes the messages of one connection on, until one side ends it.
async fn pass_on(client: TcpStream, socket: &str, proxy: &Proxy) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = UnixStream::connect(socket).await?.into_split();
    let (described, asked) = unbounded_channel();
    let answers = tokio::spawn(pass_back(from_server, to_client, asked));
    // The first message has no tag.
    let length = from_client.read_u32().await?;
    let first = read(&mut from_client, length).await?;
    to_server.write_all(&[&length.to_be_bytes(), first.as_slice()].concat()).await?;
    let mut statements = Statements::default();
    while let Ok(tag) = from_client.read_u8().await {
        let length = from_client.read_u32().await?;
        let mut body = read(&mut from_client, length).await?;
        if proxy.is_rewriting.load(Ordering::Relaxed) {
            let ids = match tag {
                b'P' => statements.parse(&mut body).map(|()| 0),
                b'B' => statements.bind(&mut body),
                _ => Some(0),
            };
            proxy.rewritten.fetch_add(ids.context("a message of another form")?, Ordering::Relaxed);
            if tag == b'D' && body.first() == Some(&b'S') {
                described.send(statements.declared(&body))?;
            }
        }
        write(&mut to_server, tag, &body).await?;
    }
    to_server.shutdown().await?;
    answers.await?
}

/// Passes the server's answers on. The client sees the types of parameters that it has declared.
async fn pass_back(
    mut from_server: unix::OwnedReadHalf,
    mut to_client: tcp::OwnedWriteHalf,
    mut asked: UnboundedReceiver<Vec<u8>>,
) -> anyhow::Result<()> {
    while let Ok(tag) = from_server.read_u8().await {
        let length = from_server.read_u32().await?;
        let mut body = read(&mut from_server, length).await?;
        if tag == b't'
            && let Ok(types) = asked.try_recv()
        {
            body = types;
        }
        write(&mut to_client, tag, &body).await?;
    }
    Ok(())
}

async fn write(
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    tag: u8,
    body: &[u8],
) -> anyhow::Result<()> {
    let length = u32::try_from(body.len() + 4)?.to_be_bytes();
    Ok(to.write_all(&[&[tag], &length[..], body].concat()).await?)
}

async fn read(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    length: u32,
) -> anyhow::Result<Vec<u8>> {
    let length = length.checked_sub(4).context("a message without a length")?;
    let mut body = vec![0; length as usize];
    from.read_exact(&mut body).await?;
    Ok(body)
}
