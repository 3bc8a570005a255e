//! The disk is full, or a file of it is gone.
//!
//! A small file system is a disk that is really full (53100), where the tests may mount one.
//! Elsewhere a quota on the size of a file replaces it: the server cannot extend the largest file
//! and reports XX000, which is of the same class. The signal that comes with it is one that
//! PostgreSQL ignores.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::proof::{assert_exact_at_no_attempt, insert_rows, remember};
use super::{QUEUED, end_sessions, postmaster, service};
use crate::support::outside::{Scratch, assert_says, children_of};
use crate::support::running::eventually;
use crate::support::{Database, Ran, database, server_of_its_own};

/// Larger than a segment of the write-ahead log, so that the quota leaves that one alone.
const LARGEST: i64 = 17 << 20;

/// Sets the quota of the server's processes, and of all that it starts from now on.
async fn limit_files(db: &Database, most: &str) {
    let postmaster = postmaster(db).await;
    // As the server's user: root may do without only where it has all its rights.
    let owner = fs::metadata(db.value::<String>("SHOW data_directory").await).unwrap();
    let limit = |process: i32| {
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &process.to_string(), &format!("--fsize={most}:")]);
        prlimit.uid(owner.uid()).gid(owner.gid()).output().unwrap()
    };
    // First, so that later sessions have the quota from the start.
    let limited = limit(postmaster);
    assert!(limited.status.success(), "{limited:?}");
    for process in children_of(postmaster) {
        let limited = limit(process);
        let ended = !children_of(postmaster).contains(&process);
        assert!(limited.status.success() || ended, "{limited:?}");
    }
}

#[tokio::test]
async fn a_full_disk_counts_no_attempt_and_the_work_goes_on_when_there_is_space() {
    let (_server, url) = server_of_its_own().await;
    let db = database(&url).await;
    remember(&db).await;
    // The hours of one user; later no hours of others are in their pages.
    db.execute(
        "INSERT INTO vitals_hourly (user_id, local_date, metric, hour_start, unit, sample_count,
                                    censored_count, rejected_count, sources, sketch, time_zone)
         SELECT 99, '2024-05-01', 'heart_rate', timestamptz '2000-01-01Z' + n * interval '1 hour',
                '/min', 1, 0, 0, '{}', convert_to(repeat('x', 1500), 'UTF8'), 'UTC'
         FROM generate_series(1, 11000) AS n;
         ALTER TABLE vitals_hourly SET (fillfactor = 10)",
    )
    .await;
    let size: i64 = db.value("SELECT pg_relation_size('vitals_hourly')").await;
    assert!(size > LARGEST, "{size}");
    let service = service(&url, &[]);
    service.logs("database_ready").await;

    limit_files(&db, &size.to_string()).await;
    insert_rows(&db, 0).await;
    service.logs("database_unavailable").await;
    let of_other_kinds = "SELECT count(*) FROM aggregation_queue WHERE kind <> 'vitals'";
    eventually(&db, of_other_kinds, 0).await;
    limit_files(&db, "unlimited").await;
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    for event in ran.events("batch_interrupted").iter().chain(&ran.events("drain_paused")) {
        assert_eq!(event["class"], "environment", "{event}");
    }
    assert!(ran.events("drain_paused").len() >= 3, "{}", ran.stderr);
    assert!(!ran.events("group_postponed").is_empty(), "{}", ran.stderr);
    assert_eq!(ran.events("database_ready").len(), 2, "{}", ran.stderr);
    let cause = ran.events("database_unavailable")[0]["cause"].to_string();
    assert_says(&cause, &["the server failed; see its log (XX000)", "[environment]"]);
    assert!(ran.events("group_failed").is_empty(), "{}", ran.stderr);
    db.execute("DELETE FROM vitals_hourly WHERE user_id = 99").await;
    assert_exact_at_no_attempt(&db, &ran).await;
}

/// Rows of every kind waited for the server's files, and nothing was blamed on a group.
#[track_caller]
fn assert_waited(ran: &Ran, cause: &[&str]) {
    for event in ran.events("batch_interrupted").iter().chain(&ran.events("drain_paused")) {
        assert_eq!(event["class"], "environment", "{event}");
    }
    let told = ran.events("database_unavailable")[0]["cause"].to_string();
    assert_says(&told, &[cause, &["[environment]"]].concat());
    assert_eq!(ran.events("database_ready").len(), 2, "{}", ran.stderr);
    assert!(ran.events("group_failed").is_empty(), "{}", ran.stderr);
}

/// A file system of two megabytes, with a place for a table space; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None if this user may not mount one.
    fn mount(at: &Path, owner: (u32, u32)) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(at);
        if !mount.output().is_ok_and(|ran| ran.status.success()) {
            return None;
        }
        let disk = Self(at.to_owned());
        fs::create_dir(disk.space()).unwrap();
        chown(disk.space(), Some(owner.0), Some(owner.1)).unwrap();
        Some(disk)
    }

    fn space(&self) -> PathBuf {
        self.0.join("space")
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut dd = Command::new("dd");
        dd.args(["if=/dev/zero", "bs=1k"]).arg(format!("of={}", self.0.join("full").display()));
        assert!(!dd.output().unwrap().status.success(), "the disk has no end");
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("full")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[tokio::test]
async fn a_disk_that_is_really_full_is_named_with_its_sqlstate() {
    let scratch = Scratch::new();
    let (server, url) = server_of_its_own().await;
    let db = database(&url).await;
    let owner = fs::metadata(db.value::<String>("SHOW data_directory").await).unwrap();
    let place = scratch.path().join("disk");
    let Some(disk) = SmallDisk::mount(&place, (owner.uid(), owner.gid())) else {
        eprintln!("NOT TESTED: a disk that is really full; only root may mount a file system");
        return;
    };
    remember(&db).await;
    db.execute(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.space().display())).await;
    db.execute("ALTER TABLE nutrition_daily SET TABLESPACE small").await;
    let service = service(&url, &[]);
    service.logs("database_ready").await;

    disk.fill();
    insert_rows(&db, 0).await;
    service.logs("database_unavailable").await;
    let of_other_kinds = "SELECT count(*) FROM aggregation_queue WHERE kind <> 'nutrition'";
    eventually(&db, of_other_kinds, 0).await;
    disk.make_room();
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    assert_waited(&ran, &["no file can grow; is the disk full? (53100)"]);
    assert_exact_at_no_attempt(&db, &ran).await;
    drop((db, server));
}

#[tokio::test]
async fn a_file_that_the_server_misses_counts_no_attempt_and_is_no_fault_of_the_group() {
    let (_server, url) = server_of_its_own().await;
    let db = database(&url).await;
    remember(&db).await;
    let path = "SELECT current_setting('data_directory') || '/' || pg_relation_filepath(c.oid)
                FROM pg_class AS c WHERE c.oid = 'nutrition_daily_pkey'::regclass";
    let file = PathBuf::from(db.value::<String>(path).await);
    let away = file.with_extension("away");
    let service = service(&url, &[]);
    service.logs("database_ready").await;

    // Sessions that have the file open go on with it.
    db.execute("CHECKPOINT").await;
    fs::rename(&file, &away).unwrap();
    end_sessions(&db, "true").await;
    insert_rows(&db, 0).await;
    service.logs("batch_interrupted").await;
    fs::rename(&away, &file).unwrap();
    eventually(&db, QUEUED, 0).await;

    let ran = service.stops();
    let interrupted = &ran.events("batch_interrupted")[0];
    assert_eq!(interrupted["sqlstate"], "58P01", "{interrupted}");
    assert!(
        interrupted["error"].to_string().contains("the server's system failed"),
        "{interrupted}"
    );
    assert_exact_at_no_attempt(&db, &ran).await;
}
