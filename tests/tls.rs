//! TLS to the database, against a server that takes nothing else over the network.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;

use local_postgres::{Binaries, LocalPostgres};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::support::outside::{Scratch, assert_says, refused};
use crate::support::running::{Running, UserLock, waiting};
use crate::support::samples::{assert_all_done, insert_samples, untouched};
use crate::support::{Database, Ran, connect, worker_at};

/// An authority with its certificate.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Certificate and key for these names, or for a client of this name.
    fn issue(&self, names: &[&str], client: &str) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, client);
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        (pem, key.serialize_pem())
    }
}

/// A migrated server that takes connections over TCP with TLS only; the role `certified` must show
/// a certificate.
struct Server {
    postgres: LocalPostgres,
    port: u16,
    place: Scratch,
}

impl Server {
    async fn for_names(names: &[&str]) -> Self {
        let ours = Authority::new("ours");
        let (cert, key) = ours.issue(names, "server");
        Self::with(&ours, &cert, key).await
    }

    /// With a certificate of its own and an authority for its clients.
    async fn with(ours: &Authority, cert: &str, key: String) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let binaries = Binaries::find_or_install(|line| eprintln!("{line}")).unwrap();
        let settings = [("listen_addresses", "127.0.0.1"), ("port", &port.to_string())];
        let postgres = LocalPostgres::start_with(&binaries, &settings).unwrap();
        let server = Self { postgres, port, place: Scratch::new() };

        let stranger = Authority::new("stranger");
        let (client_cert, client_key) = ours.issue(&[], "certified");
        for (name, pem) in [
            ("ca.pem", &ours.pem),
            ("stranger.pem", &stranger.pem),
            ("server.pem", &cert.to_owned()),
            ("client.pem", &client_cert),
            ("client.key", &client_key),
        ] {
            server.place.file(name, pem);
        }
        let key = server.place.file("server.key", key);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let owner = fs::metadata(server.postgres.socket_directory()).unwrap();
        chown(&key, Some(owner.uid()), Some(owner.gid())).unwrap();

        let client = connect(&server.by_socket()).await;
        let hba: String = client.query_one("SHOW hba_file", &[]).await.unwrap().get(0);
        fs::write(
            hba,
            "local all all trust\nhostssl all certified all cert\nhostssl all all all trust\n",
        )
        .unwrap();
        for (setting, value) in [
            ("ssl_ca_file", server.file("ca.pem")),
            ("ssl_cert_file", server.file("server.pem")),
            ("ssl_key_file", server.file("server.key")),
            ("ssl", "on".to_owned()),
        ] {
            let set = format!("ALTER SYSTEM SET {setting} = '{value}'");
            client.batch_execute(&set).await.unwrap();
        }
        client
            .batch_execute("SELECT pg_reload_conf(); CREATE ROLE certified LOGIN SUPERUSER")
            .await
            .unwrap();
        // A new session sees what the server has taken over.
        for _ in 0..3_000 {
            let session = connect(&server.by_socket()).await;
            if session.query_one("SHOW ssl", &[]).await.unwrap().get::<_, &str>(0) == "on" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert!(worker_at(&server.by_socket()).arg("migrate").output().unwrap().status.success());
        server
    }

    fn file(&self, name: &str) -> String {
        self.place.path().join(name).to_str().unwrap().to_owned()
    }

    fn by_socket(&self) -> String {
        format!("{}&port={}", self.postgres.url("postgres"), self.port)
    }

    /// Its address over the network, with these options; CA is replaced by the path of the authority's file.
    fn url(&self, options: &str) -> String {
        let options = options
            .replace("CA", &self.file("ca.pem"))
            .replace("STRANGER", &self.file("stranger.pem"))
            .replace("OWN", &self.file("server.pem"))
            .replace("CERT", &self.file("client.pem"))
            .replace("KEY", &self.file("client.key"));
        format!("postgresql://postgres@127.0.0.1:{}/postgres?{options}", self.port)
    }

    async fn database(&self) -> Database {
        let url = self.by_socket();
        Database {
            name: "postgres".to_owned(),
            client: connect(&url).await,
            url,
            id_type: Default::default(),
        }
    }
}

#[track_caller]
fn works(command: &mut Command) {
    let ran = Ran::of(command.args(["status", "--json"]).output().unwrap());
    assert_eq!(ran.code, 0, "{command:?}: {}", ran.stderr);
}

#[track_caller]
fn refuses(url: &str, says: &[&str]) {
    assert_says(&refused(worker_at(url).arg("status")), says);
}

#[tokio::test]
async fn each_mode_checks_what_it_says() {
    let server = Server::for_names(&["127.0.0.1", "localhost"]).await;
    for options in [
        "",
        "sslmode=prefer",
        "sslmode=allow",
        "sslmode=require",
        "sslmode=require&sslrootcert=CA",
        "sslmode=verify-ca&sslrootcert=CA",
        "sslmode=verify-full&sslrootcert=CA",
        "sslmode=verify-full&sslrootcert=OWN",
        "sslmode=require&channel_binding=prefer",
    ] {
        works(&mut worker_at(&server.url(options)));
    }
    refuses(&server.url("sslmode=disable"), &["no pg_hba.conf entry"]);
    for options in [
        "sslmode=verify-ca&sslrootcert=STRANGER",
        "sslmode=verify-full&sslrootcert=STRANGER",
        "sslmode=require&sslrootcert=STRANGER",
        "sslmode=verify-full",
        "sslmode=verify-full&sslrootcert=system",
    ] {
        refuses(&server.url(options), &["127.0.0.1", "certificate", "sslrootcert"]);
    }
}

#[tokio::test]
async fn only_verify_full_minds_whose_certificate_it_is() {
    let server = Server::for_names(&["db.example.org"]).await;
    for trusted in ["CA", "OWN"] {
        works(&mut worker_at(&server.url(&format!("sslmode=verify-ca&sslrootcert={trusted}"))));
        let full = server.url(&format!("sslmode=verify-full&sslrootcert={trusted}"));
        refuses(&full, &["127.0.0.1", "certificate"]);
    }
}

/// Made by `openssl x509 -req`, which makes version 1 where nothing else is asked for; so does Citus.
const VERSION_1: (&str, &str) =
    (include_str!("tls/version_1.pem"), include_str!("tls/version_1.key"));

/// A self-signed certificate that was valid for one day in 2020.
fn expired() -> (String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn any_certificate_will_do_where_none_is_checked() {
    let (version_1, key_1) = VERSION_1;
    for (cert, key) in [(version_1.to_owned(), key_1.to_owned()), expired()] {
        let server = Server::with(&Authority::new("ours"), &cert, key).await;
        for protocol in ["TLSv1.2", "TLSv1.3"] {
            let client = connect(&server.by_socket()).await;
            let most = format!("ALTER SYSTEM SET ssl_max_protocol_version = '{protocol}'");
            client.batch_execute(&most).await.unwrap();
            client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
            for options in ["", "sslmode=prefer", "sslmode=require"] {
                works(&mut worker_at(&server.url(options)));
            }
        }
        for options in ["sslmode=verify-ca&sslrootcert=CA", "sslmode=verify-full&sslrootcert=CA"] {
            refuses(&server.url(options), &["127.0.0.1", "certificate"]);
        }
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate_where_the_server_asks_for_it() {
    let server = Server::for_names(&["127.0.0.1"]).await;
    let as_certified = |options: &str| server.url(options).replace("postgres@", "certified@");
    works(&mut worker_at(&as_certified("sslmode=require&sslcert=CERT&sslkey=KEY")));
    refuses(&as_certified("sslmode=require"), &["certificate"]);
}

#[tokio::test]
async fn the_variables_of_libpq_hold_where_the_url_says_nothing() {
    let server = Server::for_names(&["127.0.0.1"]).await;
    let mut command = worker_at(&server.url(""));
    command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", server.file("ca.pem"));
    works(&mut command);
    let mut command = worker_at(&server.url(""));
    command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", server.file("stranger.pem"));
    assert_says(&refused(command.arg("status")), &["certificate"]);
    let mut command = worker_at(&server.url("sslrootcert=CA"));
    command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", server.file("stranger.pem"));
    works(&mut command);
}

#[tokio::test]
async fn the_whole_job_is_done_over_tls() {
    let server = Server::for_names(&["127.0.0.1"]).await;
    let url = server.url("sslmode=verify-full&sslrootcert=CA");
    let rows = "user_id,metric,value,unit,started_at\n1,heart_rate,60,bpm,2024-05-01T10:00:00Z\n";
    let file = server.place.file("rows.csv", rows);
    let import =
        Ran::of(worker_at(&url).args(["import", "--kind", "vitals"]).arg(file).output().unwrap());
    assert_eq!(import.code, 0, "{}", import.stderr);
    let db = server.database().await;
    insert_samples(&db, 3, 5).await;
    let lock = UserLock::hold(&db.url, 2).await;
    let worker = Running::start(worker_at(&url), &[]);
    waiting(&db, 1).await;
    let encrypted: i64 = db
        .value(
            "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
             WHERE application_name LIKE 'dayfold-worker@%' AND ssl",
        )
        .await;
    assert!(encrypted >= 1);
    lock.release().await;
    assert_eq!(worker.succeeds().json()["rows_completed"], 16);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM vitals_daily").await, 3);
}

#[tokio::test]
async fn a_stop_cancels_what_runs_over_tls_too() {
    let server = Server::for_names(&["127.0.0.1"]).await;
    let db = server.database().await;
    insert_samples(&db, 2, 5).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let settings = [("WORKER__SERVICE__SHUTDOWN_TIMEOUT_SECONDS", "2")];
    let url = server.url("sslmode=verify-full&sslrootcert=CA");
    let worker = Running::start(worker_at(&url), &settings);
    waiting(&db, 1).await;
    worker.stops();
    assert_eq!(untouched(&db).await, 10);
    waiting(&db, 0).await;
    lock.release().await;
    db.run_once();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_socket_of_this_host_needs_no_tls_whatever_the_mode() {
    let db = Database::new().await;
    works(&mut worker_at(&format!("{}&sslmode=verify-full", db.url)));
}

#[test]
fn a_server_without_tls_is_refused_where_it_is_required() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 8];
            let _ = std::io::Read::read_exact(&mut connection, &mut request);
            let _ = std::io::Write::write_all(&mut connection, b"N");
        }
    });
    let url = format!("postgresql://me@{address}/app?sslmode=require");
    refuses(&url, &["server does not support TLS", "turn ssl on", "change sslmode"]);
}
