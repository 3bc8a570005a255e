//! The speed and memory of `worker import` with an export of Apple Health, compared with a plain
//! streaming parse of the same file.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;
use quick_xml::events::Event;
use quick_xml::reader::Reader;
use serde_json::{Value, json};

use crate::server::Server;
use crate::service::{round, tell};
use crate::worker::{self, Ran};

/// Arguments of `bench import`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Load {
    /// Records of the export
    #[arg(long, default_value_t = 300_000)]
    records: u64,
    /// Also drain the queue
    #[arg(long)]
    drain: bool,
}

/// Types with unit, seconds between two records, length of one, least value and number of values; about as often
/// as a watch writes them. Dietary protein has no metric.
const TYPES: [(&str, &str, u64, u64, u64, u64); 6] = [
    ("ActiveEnergyBurned", "kcal", 60, 60, 1, 9),
    ("HeartRate", "count/min", 240, 0, 52, 90),
    ("StepCount", "count", 300, 240, 5, 300),
    ("DistanceWalkingRunning", "km", 300, 240, 1, 2),
    ("BasalEnergyBurned", "kcal", 900, 900, 15, 6),
    ("DietaryProtein", "g", 14_400, 0, 5, 40),
];

/// The records of all types on one day.
const RECORDS_A_DAY: u64 = 86_400 / 60 + 86_400 / 240 + 2 * 86_400 / 300 + 86_400 / 900 + 6;

/// 2018-01-01 00:00 UTC.
const BEGIN: i64 = 1_514_764_800;

/// Writes an export, imports it, and imports it again.
pub async fn import(load: Load) -> anyhow::Result<Value> {
    let path = worker::tempfile_of("export.xml");
    let measured = measure(load, &path).await;
    std::fs::remove_file(&path).context("the export could not be removed")?;
    measured
}

async fn measure(load: Load, path: &Path) -> anyhow::Result<Value> {
    write(path, load.records)?;
    let megabytes = std::fs::metadata(path)?.len() as f64 / 1e6;
    let began = Instant::now();
    let elements = parse(path)?;
    let parsed = began.elapsed().as_secs_f64();
    tell(&format!("a plain parse of {megabytes:.0} MB: {elements} elements in {parsed:.2} s"));

    let server = Server::start().await?;
    let file = path.to_str().context("a path")?;
    let arguments = ["import", "--user", "1", "--time-zone", "Europe/Berlin", "--json", file];
    let first = worker::run(&server.url, &arguments)?;
    ensure!(first.code == 0, "the import failed");
    let again = worker::run(&server.url, &arguments)?;
    ensure!(again.json["rows"] == 0, "the second import added rows");
    let mut result = json!({
        "records": load.records,
        "megabytes": round(megabytes, 1),
        "plain_parse_s": round(parsed, 2),
        "first": told("import", &first, "rows"),
        "again": told("import again", &again, "already_there"),
    });
    if load.drain {
        let drained = worker::run(&server.url, &["run-once", "--json"])?;
        result["drain"] = told("drain", &drained, "rows_completed");
    }
    Ok(result)
}

fn told(what: &str, ran: &Ran, rows: &str) -> Value {
    let rows = ran.json[rows].as_f64().unwrap_or_default();
    let rate = rows / ran.seconds;
    tell(&format!(
        "{what}: {rows} rows in {:.2} s, {rate:.0} rows/s, peak {:.0} MB",
        ran.seconds, ran.peak_mb
    ));
    json!({
        "rows": rows,
        "seconds": round(ran.seconds, 2),
        "rows_per_second": round(rate, 0),
        "peak_mb": round(ran.peak_mb, 1),
        "cpu_s": round(ran.cpu, 2),
    })
}

/// The number of elements, by a parser that does nothing else.
fn parse(path: &Path) -> anyhow::Result<u64> {
    let mut xml = Reader::from_reader(BufReader::with_capacity(1 << 18, File::open(path)?));
    let (mut buffer, mut elements) = (Vec::new(), 0);
    loop {
        buffer.clear();
        match xml.read_event_into(&mut buffer)? {
            Event::Start(element) | Event::Empty(element) => {
                elements += 1;
                for attribute in element.attributes().with_checks(false) {
                    attribute?;
                }
            }
            Event::Eof => return Ok(elements),
            _ => {}
        }
    }
}

/// Writes an export in the order of a real one: type by type, each in the order of time.
fn write(path: &Path, records: u64) -> anyhow::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 18, File::create(path)?);
    file.write_all(
        b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE HealthData [\n\
          <!ELEMENT HealthData (ExportDate,Me,(Record|Correlation|Workout)*)>\n]>\n\
          <HealthData locale=\"en_DE\">\n <ExportDate value=\"2026-01-01 09:00:00 +0100\"/>\n",
    )?;
    let days = records as f64 / RECORDS_A_DAY as f64;
    for (kind, unit, every, length, least, span) in TYPES {
        let number = (days * 86_400.0 / every as f64).round() as u64;
        for nth in 0..number {
            let at = BEGIN + i64::try_from(nth * every)?;
            let (start, end) = (stamp(at), stamp(at + i64::try_from(length)?));
            let value = least + (nth * 7919) % span;
            writeln!(
                file,
                " <Record type=\"HKQuantityTypeIdentifier{kind}\" sourceName=\"Sam’s Apple\u{a0}Watch\" \
                 sourceVersion=\"10.4\" device=\"&lt;&lt;HKDevice: 0x1&gt;, name:Apple Watch, \
                 manufacturer:Apple Inc., model:Watch, hardware:Watch6,2, software:10.4&gt;\" \
                 unit=\"{unit}\" creationDate=\"{end}\" startDate=\"{start}\" endDate=\"{end}\" \
                 value=\"{value}\"/>"
            )?;
        }
    }
    file.write_all(b"</HealthData>\n")?;
    file.flush()?;
    Ok(())
}

/// A time as the export writes it, of a phone at UTC.
fn stamp(seconds: i64) -> String {
    let (days, clock) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000")
}

/// The date of a number of days since 1970-01-01.
fn date(mut days: i64) -> (i64, usize, i64) {
    let mut year = 1970;
    loop {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = if is_leap { 366 } else { 365 };
        if days < length {
            let february = if is_leap { 29 } else { 28 };
            let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(months) {
                if days < length {
                    return (year, month, days + 1);
                }
                days -= length;
            }
        }
        days -= length;
        year += 1;
    }
}
