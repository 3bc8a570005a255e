//! Sleep: its stages, by the date of waking.

use maud::{Markup, html};
use store::SleepNight;

use super::{Section, section};
use crate::chart::{Chart, Column, Fill, Part, Scale, Sign, columns, legend};
use crate::sheet::{Cell, DayTable, Sheet, feet, figure};
use crate::steps::Step;
use crate::text;
use wording::thousands;

/// Minutes in an hour: the axis has hours, the figures minutes.
const MINUTES: f64 = 60.0;

/// Reads the minutes of a stage from a night.
type Minutes = fn(&SleepNight) -> Option<f64>;

/// The stages, from the bottom up.
const STAGES: [(Fill, &str, Minutes); 5] = [
    (Fill::DEEP, "deep", |night| night.deep),
    (Fill::CORE, "core (light)", |night| night.core),
    (Fill::REM, "REM", |night| night.rem),
    (Fill::ASLEEP, "asleep, stage not known", |night| night.unspecified),
    (Fill::AWAKE, "awake", |night| night.awake),
];

/// The section, if there are nights.
pub fn sleep(sheet: &Sheet<'_>) -> Option<Section> {
    let nights = &sheet.days.sleep;
    if !nights.iter().any(|night| night.asleep.or(night.in_bed).is_some()) {
        return None;
    }
    let content = html! { (chart(sheet)) (table(sheet)) };
    Some(section("sleep", "Sleep", content))
}

fn chart(sheet: &Sheet<'_>) -> Markup {
    let by_step = sheet.by_step(&sheet.days.sleep, |night| night.day.date);
    let drawn: Vec<Option<Column>> =
        by_step.iter().map(|night| column(sheet, night.as_ref()?)).collect();
    let longest = drawn.iter().flatten().map(Column::height).fold(0.0, f64::max);
    let asleep: Vec<f64> = sheet.daily.sleep.iter().filter_map(|night| night.asleep).collect();
    let mean = (!asleep.is_empty()).then(|| {
        let mean = asleep.iter().sum::<f64>() / asleep.len() as f64;
        format!("asleep for {}{}", text::duration(Some(mean)), sheet.on_average())
    });
    let says = sheet.says(asleep.len(), mean);
    let frame = sheet.main_frame();
    let feet = feet(&by_step, |night| &night.day);
    let chart = Chart {
        id: "sleep-chart".to_owned(),
        title: format!("Hours of sleep by stage and date of waking, {}", sheet.when()),
        description: format!("{says}. The table of figures has the same in numbers."),
        frame,
        slots: &sheet.slots,
        scale: Scale::from_zero(longest),
        feet: &feet,
    };
    let is_there = |of: Minutes| {
        sheet.days.sleep.iter().any(|night| of(night).is_some_and(|minutes| minutes > 0.0))
    };
    let stages = STAGES.iter().rev().filter(|(_, _, of)| is_there(*of));
    let mut signs: Vec<(Sign, &str)> =
        stages.map(|(fill, name, _)| (Sign::Fill(*fill), *name)).collect();
    if is_there(|night| night.in_bed) {
        signs.push((Sign::Frame, "in bed"));
    }
    let heading = match sheet.step {
        Step::Day => "Sleep by date of waking, naps included".to_owned(),
        _ => format!("Sleep{}, mean night, naps included", sheet.by()),
    };
    let draw = |chart: &Chart<'_>| columns(chart, &drawn);
    figure(&chart, (&heading, "hours"), &says, draw, &legend(&signs, &feet))
}

fn column(sheet: &Sheet<'_>, night: &SleepNight) -> Option<Column> {
    let parts: Vec<Part> = STAGES
        .iter()
        .filter_map(|(fill, _, of)| Some(Part { fill: *fill, value: of(night)? / MINUTES }))
        .collect();
    let frame = night.in_bed.map(|minutes| minutes / MINUTES);
    if parts.is_empty() && frame.is_none() {
        return None;
    }
    let words = format!(
        "{}: asleep {}, in bed {}",
        sheet.name_of(night.day.date),
        text::duration(night.asleep),
        text::duration(night.in_bed),
    );
    Some(Column { parts, frame, words })
}

fn table(sheet: &Sheet<'_>) -> Markup {
    let is_by_day = sheet.step == Step::Day;
    let head = [
        "From",
        "To",
        "Asleep",
        "Deep",
        "Core",
        "REM",
        "Not known",
        "Awake",
        "In bed",
        "Efficiency %",
        "Naps",
    ];
    let rows = sheet.days.sleep.iter().map(|night| {
        let zone = &night.day.time_zone;
        let clock = |at: Option<aggregation::Timestamp>| {
            at.map_or_else(|| text::NONE.to_owned(), |at| text::clock(at, zone))
        };
        let mut cells: Vec<Cell> = Vec::new();
        if is_by_day {
            cells.extend([clock(night.main_start), clock(night.main_end)].map(Cell::Text));
        }
        cells.extend(
            [
                night.asleep,
                night.deep,
                night.core,
                night.rem,
                night.unspecified,
                night.awake,
                night.in_bed,
            ]
            .map(|minutes| Cell::Text(text::hours(minutes))),
        );
        cells.push(Cell::Places(night.efficiency.map(|share| share * 100.0), 0));
        let naps = match night.nap_minutes.filter(|_| night.nap_count > 0) {
            Some(minutes) => {
                format!("{} ({})", thousands(night.nap_count.into()), text::hours(Some(minutes)))
            }
            None => thousands(night.nap_count.into()),
        };
        cells.push(Cell::Text(naps));
        let unknown = (night.asleep.is_none() && night.in_bed.or(night.awake).is_some())
            .then(|| "no source tells of sleep".to_owned());
        sheet.row(night.day.date, cells, sheet.notes(&night.day, [unknown]))
    });
    let rows = rows.collect();
    let (caption, head) = match is_by_day {
        true => ("sleep, hours:minutes (From, To: the main session, local time)", &head[..]),
        false => ("sleep, hours:minutes of a mean night (Naps: of all nights)", &head[2..]),
    };
    sheet.table(&DayTable { caption: caption.to_owned(), head, rows })
}
