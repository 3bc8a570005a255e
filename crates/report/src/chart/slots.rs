//! The horizontal axis: local days, weeks, months, or the local hours of one day.

use aggregation::Timestamp;
use aggregation::local_time::Zone;
use aggregation::timestamp::HOUR_US;
use chrono::{Datelike, NaiveDate, NaiveDateTime, Offset, Timelike, Utc, Weekday};

use super::frame::{CHARACTER, Frame};
use crate::steps::Step;
use crate::text;

/// The slots of the horizontal axis.
#[derive(Clone, Debug, PartialEq)]
pub enum Slots {
    /// Consecutive days.
    Days(Vec<NaiveDate>),
    /// Consecutive weeks or months: their first dates.
    Steps(Vec<NaiveDate>, Step),
    /// The hours of one day: their first instants, and the local time then.
    Hours(Vec<(Timestamp, NaiveDateTime)>),
}

/// A text below the plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Its horizontal coordinate.
    pub x: f64,
    /// Whether the text begins or is centred at `x`.
    pub anchor: Anchor,
    /// 0 for the upper line, 1 for the lower one.
    pub line: u8,
    /// The text.
    pub text: String,
}

/// The alignment of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The text begins at the coordinate.
    Start,
    /// The text is centred at the coordinate.
    Middle,
}

/// The minimum gap between two texts of one line.
const BETWEEN: f64 = 5.0;

/// The minimum width of a day for its weekday.
const ROOM_FOR_WEEKDAY: f64 = 48.0;

/// The minimum width of a day for its number.
const ROOM_FOR_NUMBER: f64 = 19.0;

/// Up to this number of days the axis labels Mondays; above it, months.
const MOST_BY_WEEK: usize = 100;

impl Slots {
    /// The days of a period, both ends included.
    pub fn days(from: NaiveDate, to: NaiveDate) -> Self {
        Self::Days(from.iter_days().take_while(|date| *date <= to).collect())
    }

    /// The hours of a local day.
    pub fn hours(date: NaiveDate, zone: Zone) -> Self {
        let mut hours = Vec::new();
        let mut start = zone.day_start(date);
        while start < zone.day_end(date) {
            hours.push((start, zone.clock(start)));
            start = zone.hour_of(start).end;
        }
        Self::Hours(hours)
    }

    /// The hours from midnight to midnight, of no day in particular.
    pub fn clock() -> Self {
        let zone = Zone::Fixed(Utc.fix());
        Self::hours(NaiveDate::default(), zone)
    }

    /// The slot of a date.
    pub fn index_of(&self, date: NaiveDate) -> Option<usize> {
        match self {
            Self::Days(days) => {
                let index = (date - *days.first()?).num_days();
                usize::try_from(index).ok().filter(|index| *index < days.len())
            }
            Self::Steps(starts, _) => starts.partition_point(|start| *start <= date).checked_sub(1),
            Self::Hours(_) => None,
        }
    }

    /// The position of an instant: 0 is the beginning of the first slot, 1 that of the second.
    pub fn position_of(&self, date: NaiveDate, at: Timestamp, zone: Zone) -> Option<f64> {
        let Self::Hours(hours) = self else {
            let (start, end) = (zone.day_start(date), zone.day_end(date));
            let share = at.since(start) as f64 / (end.since(start) as f64).max(1.0);
            return Some(self.index_of(date)? as f64 + share.clamp(0.0, 1.0));
        };
        let index = hours.partition_point(|(start, _)| *start <= at).checked_sub(1)?;
        let share = at.since(hours.get(index)?.0) as f64 / HOUR_US as f64;
        Some(index as f64 + share.min(1.0))
    }

    /// The number of slots.
    pub const fn count(&self) -> usize {
        match self {
            Self::Days(days) | Self::Steps(days, _) => days.len(),
            Self::Hours(hours) => hours.len(),
        }
    }

    /// The vertical lines of the plot, as indices of the slots after them.
    pub fn lines(&self) -> Vec<usize> {
        let days = match self {
            Self::Days(days) => days,
            Self::Steps(..) => return Vec::new(),
            Self::Hours(_) => return self.hour_marks().collect(),
        };
        let begins = |(index, date): (usize, &NaiveDate)| {
            let begins = if days.len() > MOST_BY_WEEK {
                date.day() == 1
            } else {
                days.len() > 7 && date.weekday() == Weekday::Mon
            };
            (index > 0 && begins).then_some(index)
        };
        days.iter().enumerate().filter_map(begins).collect()
    }

    /// The labels below the plot. No two texts of a line touch.
    pub fn labels(&self, frame: &Frame) -> Vec<Label> {
        let labels = match self {
            Self::Days(days) => labels_of_days(days, frame),
            Self::Steps(starts, step) => labels_of_steps(starts, *step, frame),
            Self::Hours(hours) => self
                .hour_marks()
                .filter_map(|index| Some((index, hours.get(index)?)))
                .map(|(index, (_, clock))| Label {
                    x: frame.x(index as f64, hours.len()),
                    anchor: Anchor::Middle,
                    line: 0,
                    text: clock.format("%H:%M").to_string(),
                })
                .collect(),
        };
        without_touching(labels, frame)
    }

    fn hour_marks(&self) -> impl Iterator<Item = usize> {
        let hours = match self {
            Self::Hours(hours) => hours.as_slice(),
            Self::Days(_) | Self::Steps(..) => &[],
        };
        let is_mark = |clock: &NaiveDateTime| clock.hour().is_multiple_of(3) && clock.minute() == 0;
        hours.iter().enumerate().filter(move |(_, (_, clock))| is_mark(clock)).map(|(at, _)| at)
    }
}

fn labels_of_days(days: &[NaiveDate], frame: &Frame) -> Vec<Label> {
    let (count, slot) = (days.len(), frame.slot(days.len()));
    let middle = |index: usize, text: String| Label {
        x: frame.x(index as f64 + 0.5, count),
        anchor: Anchor::Middle,
        line: 0,
        text,
    };
    let each = || days.iter().enumerate();
    if let [date] = days {
        return vec![middle(0, text::date(*date))];
    }
    if count > MOST_BY_WEEK {
        let mut labels = periods(
            days,
            frame,
            0,
            |date| (date.year(), date.month()),
            |date, room| {
                let [name, short] = ["%B", "%b"].map(|form| date.format(form).to_string());
                let letter = short.chars().take(1).collect();
                fitting(room, [name, short, letter])
            },
        );
        labels.extend(periods(
            days,
            frame,
            1,
            |date| (date.year(), 0),
            |date, room| fitting(room, [date.year().to_string()]),
        ));
        return labels;
    }
    let mut labels: Vec<Label> = if slot >= ROOM_FOR_WEEKDAY {
        each().map(|(at, date)| middle(at, date.format("%a %-d").to_string())).collect()
    } else {
        let every_day = slot >= ROOM_FOR_NUMBER;
        each()
            .filter(|(_, date)| every_day || date.weekday() == Weekday::Mon)
            .map(|(at, date)| middle(at, date.day().to_string()))
            .collect()
    };
    labels.extend(periods(
        days,
        frame,
        1,
        |date| (date.year(), date.month()),
        |date, room| {
            fitting(room, ["%B %Y", "%b %Y", "%b"].map(|form| date.format(form).to_string()))
        },
    ));
    labels
}

fn labels_of_steps(starts: &[NaiveDate], step: Step, frame: &Frame) -> Vec<Label> {
    let form = if step == Step::Month { "%b" } else { "%-d" };
    let middle = |(index, date): (usize, &NaiveDate)| Label {
        x: frame.x(index as f64 + 0.5, starts.len()),
        anchor: Anchor::Middle,
        line: 0,
        text: date.format(form).to_string(),
    };
    let mut labels: Vec<Label> = starts.iter().enumerate().map(middle).collect();
    labels.extend(periods(
        starts,
        frame,
        1,
        |date| (date.year(), if step == Step::Month { 0 } else { date.month() }),
        |date, room| match step {
            Step::Month => fitting(room, [date.year().to_string()]),
            _ => fitting(room, ["%B %Y", "%b %Y", "%b"].map(|form| date.format(form).to_string())),
        },
    ));
    labels
}

/// A text at the beginning of each run of days with one key, if it fits into the run.
fn periods(
    days: &[NaiveDate],
    frame: &Frame,
    line: u8,
    key: impl Fn(&NaiveDate) -> (i32, u32),
    text: impl Fn(&NaiveDate, f64) -> Option<String>,
) -> Vec<Label> {
    let mut labels = Vec::new();
    let mut index = 0;
    for run in days.chunk_by(|a, b| key(a) == key(b)) {
        let room = run.len() as f64 * frame.slot(days.len());
        if let Some(text) = run.first().and_then(|date| text(date, room)) {
            let x = frame.x(index as f64, days.len());
            labels.push(Label { x, anchor: Anchor::Start, line, text });
        }
        index += run.len();
    }
    labels
}

/// The first text that fits.
fn fitting<const N: usize>(room: f64, texts: [String; N]) -> Option<String> {
    texts.into_iter().find(|text| width(text) + BETWEEN <= room)
}

fn width(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

impl Label {
    /// Its left and right end.
    pub fn span(&self) -> (f64, f64) {
        let width = width(&self.text);
        let left = if self.anchor == Anchor::Start { self.x } else { self.x - width / 2.0 };
        (left, left + width)
    }
}

/// Removes labels that would touch the label before them, or exceed the drawing.
fn without_touching(labels: Vec<Label>, frame: &Frame) -> Vec<Label> {
    let mut ends = [f64::NEG_INFINITY; 2];
    let mut fits = |label: &Label| {
        let (left, right) = label.span();
        let end = ends.get_mut(usize::from(label.line));
        let Some(end) = end.filter(|end| **end + BETWEEN <= left) else { return false };
        // A label at the end may exceed the plot, but not the drawing.
        if left < 0.0 || right > frame.width + BETWEEN {
            return false;
        }
        *end = right;
        true
    };
    labels.into_iter().filter(|label| fits(label)).collect()
}

#[cfg(test)]
mod tests {
    use aggregation::local_time::Zone;
    use chrono::{Days, NaiveDate};

    use aggregation::Timestamp;

    use super::{Frame, Slots, Step};

    fn slots(from: &str, count: u64) -> Slots {
        let from: NaiveDate = from.parse().unwrap();
        Slots::days(from, from + Days::new(count - 1))
    }

    fn texts(slots: &Slots, frame: &Frame, line: u8) -> Vec<String> {
        let labels = slots.labels(frame).into_iter().filter(|label| label.line == line);
        labels.map(|label| label.text).collect()
    }

    #[test]
    fn no_two_labels_touch_however_many_days() {
        for frame in [Frame::WIDE, Frame::SMALL, Frame::NARROW] {
            for count in [1, 2, 3, 7, 8, 14, 30, 31, 32, 62, 99, 100, 101, 180, 365, 366] {
                for from in ["2024-01-01", "2023-12-31", "2024-02-28", "2023-11-30"] {
                    let slots = slots(from, count);
                    for line in [0, 1] {
                        let mut end = f64::NEG_INFINITY;
                        let labels = slots.labels(&frame);
                        for label in labels.iter().filter(|label| label.line == line) {
                            let (left, right) = label.span();
                            assert!(left > end, "{count} days from {from}: {labels:?}");
                            assert!(left >= 0.0 && right <= frame.width, "{label:?}");
                            end = right;
                        }
                    }
                    assert!(!texts(&slots, &frame, 0).is_empty(), "{count} days from {from}");
                }
            }
        }
    }

    #[test]
    fn a_week_shows_its_days_a_month_its_dates_and_a_year_its_months() {
        let (wide, small) = (Frame::WIDE, Frame::SMALL);
        assert_eq!(texts(&slots("2024-03-01", 1), &wide, 0), ["Fri 1 March 2024"]);
        let week = slots("2024-02-27", 7);
        assert_eq!(texts(&week, &wide, 0)[..3], ["Tue 27", "Wed 28", "Thu 29"]);
        assert_eq!(texts(&week, &wide, 1), ["February 2024", "March 2024"]);
        let month = slots("2024-03-01", 31);
        assert_eq!(texts(&month, &wide, 0).len(), 31);
        assert_eq!(texts(&month, &small, 0), ["4", "11", "18", "25"]);
        assert_eq!(texts(&month, &small, 1), ["March 2024"]);
        let year = slots("2024-01-01", 366);
        assert_eq!(texts(&year, &small, 0)[..3], ["Jan", "Feb", "Mar"]);
        assert_eq!(texts(&year, &small, 0).len(), 12);
        assert_eq!(texts(&year, &wide, 1), ["2024"]);
    }

    #[test]
    fn weeks_and_months_are_named_and_do_not_touch() {
        let of = |step: Step, from: &str, to: &str| {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            Slots::Steps(step.starts(from, to), step)
        };
        let year = of(Step::Month, "2024-01-01", "2024-12-31");
        assert_eq!(year.count(), 12);
        let weeks = of(Step::Week, "2024-02-28", "2024-06-02");
        for (slots, first, below) in [(&year, "Jan", "2024"), (&weeks, "28", "March 2024")] {
            for frame in [Frame::WIDE, Frame::SMALL, Frame::NARROW] {
                assert_eq!(texts(slots, &frame, 0)[0], first);
                let labels = slots.labels(&frame);
                for line in [0, 1] {
                    let of_line = labels.iter().filter(|label| label.line == line);
                    let spans: Vec<(f64, f64)> = of_line.map(|label| label.span()).collect();
                    assert!(spans.windows(2).all(|pair| pair[0].1 < pair[1].0), "{labels:?}");
                }
            }
            assert!(texts(slots, &Frame::WIDE, 1).contains(&below.to_owned()), "{below}");
        }
        let index = |date: &str| weeks.index_of(date.parse().unwrap());
        assert_eq!(index("2024-03-03"), Some(0));
        assert_eq!(index("2024-03-04"), Some(1));
        assert_eq!(index("2024-02-27"), None);
    }

    #[test]
    fn an_instant_has_its_position_within_the_day() {
        let zone: Zone = "Europe/Berlin".parse().unwrap();
        let at = |text: &str| {
            Timestamp::from_utc(chrono::DateTime::parse_from_rfc3339(text).unwrap().to_utc())
        };
        let days = slots("2024-05-01", 3);
        let date = "2024-05-02".parse().unwrap();
        assert_eq!(days.position_of(date, at("2024-05-02T10:00:00Z"), zone), Some(1.5));
        let day = Slots::hours(date, zone);
        assert_eq!(day.position_of(date, at("2024-05-02T10:30:00Z"), zone), Some(12.5));
        assert_eq!(day.position_of(date, at("2024-05-01T10:30:00Z"), zone), None);
        assert_eq!(Slots::clock().count(), 24);
    }

    #[test]
    fn an_autumn_day_has_25_hours_and_times_every_third() {
        let zone: Zone = "Europe/Berlin".parse().unwrap();
        let day = |text: &str| Slots::hours(text.parse().unwrap(), zone);
        assert_eq!(day("2024-10-27").count(), 25);
        assert_eq!(day("2024-03-31").count(), 23);
        let labels = texts(&day("2024-10-27"), &Frame::SMALL, 0);
        assert_eq!(labels[..3], ["00:00", "03:00", "06:00"]);
    }
}
