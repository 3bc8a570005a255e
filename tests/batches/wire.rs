//! The order of messages between the worker and the server.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

use crate::support::samples::{assert_all_done, insert_samples};
use crate::support::{Database, Ran, server, worker_at};

/// The bytes that one connection sent, in the pieces in which they arrived.
type Sent = Arc<Mutex<Vec<Vec<u8>>>>;

/// A message to the server, and in which piece it began.
#[derive(Debug)]
struct Message {
    piece: usize,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    Begin,
    Commit,
    /// The execution of a statement that was prepared.
    Execute(String),
    Other,
}

/// Listens on this host, passes everything on to the server's socket, and remembers what is sent there.
async fn listen(socket: PathBuf) -> (u16, Arc<Mutex<Vec<Sent>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections: Arc<Mutex<Vec<Sent>>> = Arc::default();
    let remembered = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            client.set_nodelay(true).unwrap();
            let sent = Sent::default();
            remembered.lock().unwrap().push(Arc::clone(&sent));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = UnixStream::connect(&socket).await.unwrap().into_split();
            tokio::spawn(pass(from_client, to_server, Some(sent)));
            tokio::spawn(pass(from_server, to_client, None));
        }
    });
    (port, connections)
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    remembered: Option<Sent>,
) {
    let mut piece = vec![0; 1 << 20];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if let Some(remembered) = &remembered {
            remembered.lock().unwrap().push(piece[..length].to_vec());
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

fn messages(pieces: &[Vec<u8>]) -> Vec<Message> {
    let bytes = pieces.concat();
    let ends: Vec<usize> = pieces
        .iter()
        .scan(0, |end, piece| {
            *end += piece.len();
            Some(*end)
        })
        .collect();
    let length = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut prepared: HashMap<String, String> = HashMap::new();
    let mut messages = Vec::new();
    // The first message has no type.
    let mut at = length(0);
    while at + 5 <= bytes.len() {
        let end = at + 1 + length(at + 1);
        let body = &bytes[at + 5..end.min(bytes.len())];
        let mut texts = body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let mut text = || texts.next().unwrap_or_default().into_owned();
        let what = match bytes[at] {
            b'Q' => match text() {
                sql if sql.starts_with("BEGIN ISOLATION") => What::Begin,
                sql if sql == "COMMIT" => What::Commit,
                _ => What::Other,
            },
            b'P' => {
                let name = text();
                prepared.insert(name, text());
                What::Other
            }
            b'B' => {
                let _portal = text();
                What::Execute(prepared.get(&text()).cloned().unwrap_or_default())
            }
            _ => What::Other,
        };
        let piece = ends.iter().position(|end| at < *end).unwrap();
        messages.push(Message { piece, what });
        at = end;
    }
    messages
}

#[tokio::test]
async fn a_commit_follows_all_writes_of_its_group_and_goes_with_the_beginning_of_the_next_one() {
    let db = Database::new().await;
    let (port, connections) = listen(server().socket_directory().join(".s.PGSQL.5432")).await;
    let name: String = db.value("SELECT current_database()::text").await;
    let user: String = db.value("SELECT current_user::text").await;
    let url = format!("postgresql://{user}@127.0.0.1:{port}/{name}?sslmode=disable");

    // The first groups prepare their statements, and a machine that is busy gives each connection back at once.
    let (mut runs, mut together) = (0, 0);
    while together < 3 && runs < 20 {
        insert_samples(&db, 12, 3).await;
        connections.lock().unwrap().clear();
        let mut worker = worker_at(&url);
        let run = move || Ran::of(worker.args(["run-once", "--json"]).output().unwrap());
        let ran = tokio::task::spawn_blocking(run).await.unwrap();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_all_done(&db).await;
        let sent = connections.lock().unwrap().clone();
        let (committed, with_next) = sent
            .iter()
            .map(|sent| commits(&messages(&sent.lock().unwrap())))
            .fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        assert_eq!(committed, 12);
        together += with_next;
        runs += 1;
    }
    assert!(together >= 3, "{together} commits travelled with the next group");
}

/// How many groups a connection committed, and how many commits travelled with the next group.
fn commits(messages: &[Message]) -> (u32, u32) {
    let (mut committed, mut together) = (0, 0);
    let (mut is_open, mut is_finished) = (false, false);
    for (place, Message { piece, what }) in messages.iter().enumerate() {
        match what {
            What::Begin => {
                assert!(!is_open, "BEGIN in a transaction");
                (is_open, is_finished) = (true, false);
            }
            What::Execute(sql) if sql.contains("DELETE FROM aggregation_queue") => {
                assert!(is_open, "the queue is touched outside of a transaction");
                is_finished = true;
            }
            What::Execute(sql) if sql.contains("INTO vitals_daily") => {
                assert!(is_open && !is_finished, "a write behind the last one: {sql}");
            }
            What::Commit => {
                assert!(is_open && is_finished, "a COMMIT before the last write");
                is_open = false;
                committed += 1;
                // A simple query needs no Sync behind it.
                if let Some([begin, question]) = messages.get(place + 1..place + 3)
                    && begin.what == What::Begin
                {
                    assert!(matches!(question.what, What::Execute(_)), "{question:?}");
                    together += u32::from(begin.piece == *piece && question.piece == *piece);
                }
            }
            What::Execute(_) | What::Other => {}
        }
    }
    assert!(!is_open, "a transaction without an end");
    (committed, together)
}
