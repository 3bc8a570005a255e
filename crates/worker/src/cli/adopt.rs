//! The arguments of `worker adopt`.

use aggregation::Kind;
use clap::Args;
use store::MappedFrom;

use super::parse::parse_kind;

/// Broken by hand, because clap does not wrap the usage.
pub const USAGE: &str = "\
worker adopt [OPTIONS] --kind <KIND> --table <TABLE> --map <PAIRS>
       worker adopt --undo --table <TABLE> [--keep-rows]";

/// Arguments of `adopt`.
#[derive(Debug, Args)]
pub struct Adopt {
    /// The kind of the table's rows: vitals, nutrition or labs
    #[arg(long, value_name = "KIND", value_parser = parse_kind, required_unless_present = "undo")]
    pub kind: Option<Kind>,
    /// The application's table, as SQL names it: app.measurements or app."Readings"
    #[arg(long, value_name = "TABLE")]
    pub table: String,
    /// Columns of the raw table, and the table's columns or fixed texts for them; may be given more than once
    ///
    /// Such as value=reading,unit=unit,source='watch'. The id is the primary key if it is not mapped.
    #[arg(long, value_name = "PAIRS", value_parser = parse_map, required_unless_present = "undo")]
    pub map: Vec<Pairs<MappedFrom>>,
    /// The application's words for metrics, such as hr=heart_rate,walk=steps; rows with other words are left out
    #[arg(long, value_name = "PAIRS", value_parser = parse_metrics)]
    pub metric: Vec<Pairs<String>>,
    /// The zone of times without a zone, such as Asia/Kolkata, and of rows if time_zone is not mapped
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// Add this number to each id, so that ids of several tables do not meet
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub add_to_ids: Option<i64>,
    /// Rows to copy in one transaction
    #[arg(long, value_name = "N", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub batch: u32,
    /// Copy at most this many rows each second; 0 means no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_rows_per_second: u32,
    /// Show the SQL and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Remove the triggers and the copies of the table's rows
    #[arg(long, conflicts_with_all = ["kind", "map", "metric", "time_zone", "add_to_ids", "dry_run"])]
    pub undo: bool,
    /// With --undo: keep the copies
    #[arg(long, requires = "undo")]
    pub keep_rows: bool,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The pairs of one argument, in the order in which they were given.
#[derive(Clone, Debug)]
pub struct Pairs<T>(pub Vec<(String, T)>);

/// Splits at commas outside single quotes.
fn parts(text: &str) -> Vec<&str> {
    let mut is_quoted = false;
    text.split(|c: char| {
        is_quoted ^= c == '\'';
        c == ',' && !is_quoted
    })
    .collect()
}

fn pair(part: &str) -> Result<(String, &str), String> {
    match part.split_once('=') {
        Some((before, after)) if !before.trim().is_empty() && !after.trim().is_empty() => {
            Ok((before.trim().to_owned(), after.trim()))
        }
        _ => Err(format!("{part:?} is no pair such as value=reading")),
    }
}

fn parse_map(text: &str) -> Result<Pairs<MappedFrom>, String> {
    let pairs = parts(text).into_iter().map(|part| {
        let (target, from) = pair(part)?;
        let quoted = from.strip_prefix('\'').map(|rest| rest.strip_suffix('\''));
        let from = match quoted {
            None => MappedFrom::Column(from.to_owned()),
            Some(Some(text)) => MappedFrom::Constant(text.replace("''", "'")),
            Some(None) => return Err(format!("{part:?} has a quote that is not closed")),
        };
        Ok((target, from))
    });
    pairs.collect::<Result<_, _>>().map(Pairs)
}

fn parse_metrics(text: &str) -> Result<Pairs<String>, String> {
    let pairs =
        text.split(',').map(|part| pair(part).map(|(word, metric)| (word, metric.to_owned())));
    pairs.collect::<Result<_, _>>().map(Pairs)
}

#[cfg(test)]
mod tests {
    use store::MappedFrom;

    use super::{parse_map, parse_metrics};

    #[test]
    fn a_map_has_columns_and_fixed_texts_which_may_contain_commas_and_quotes() {
        let column = |name: &str| MappedFrom::Column(name.to_owned());
        let text = |text: &str| MappedFrom::Constant(text.to_owned());
        assert_eq!(
            parse_map("value=reading, unit='a,b''c' ,source=My Column").unwrap().0,
            [
                ("value".to_owned(), column("reading")),
                ("unit".to_owned(), text("a,b'c")),
                ("source".to_owned(), column("My Column")),
            ]
        );
        for wrong in ["value", "value=", "=reading", "unit='open", "a=b,,c=d"] {
            assert!(parse_map(wrong).is_err(), "{wrong}");
        }
        let metrics = parse_metrics("Heart Rate=heart_rate,walk=steps").unwrap().0;
        assert_eq!(metrics[0], ("Heart Rate".to_owned(), "heart_rate".to_owned()));
    }
}
