//! Blood pressure: the measurements of each day.

use maud::{Markup, html};
use store::BloodPressureDay;

use super::section;
use crate::chart::{Chart, Level, Line, Scale, Series, Shape, Sign, legend, levels};
use crate::sheet::{DayTable, Sheet, TableRow, feet, figure};
use crate::text;
use wording::{counted, thousands};

/// The limits of stage 1 (ACC/AHA 2017), shown as lines without a judgement.
const STAGE_1: [f64; 2] = [130.0, 80.0];

/// The section, if there are measurements.
pub fn blood_pressure(sheet: &Sheet<'_>) -> Option<Markup> {
    let rows = &sheet.days.blood_pressure;
    if rows.is_empty() {
        return None;
    }
    let content = html! { (chart(sheet)) (table(sheet, rows)) };
    Some(section("blood-pressure", "Blood pressure", &content))
}

fn chart(sheet: &Sheet<'_>) -> Markup {
    let by_day = sheet.by_day(&sheet.days.blood_pressure, |row| row.day.date);
    let series = |shape, of: fn(&BloodPressureDay) -> [Option<f64>; 3]| Series {
        shape,
        levels: by_day.iter().map(|row| level(row.as_ref()?, of)).collect(),
        over_gaps: false,
    };
    let systolic = series(Shape::Down, |row| row.systolic);
    let diastolic = series(Shape::Up, |row| row.diastolic);
    let values = [&systolic, &diastolic].into_iter().flat_map(|of| of.levels.iter().flatten());
    let values = values.flat_map(Level::values).chain(STAGE_1);
    let Some(scale) = Scale::around(values) else { return html! {} };
    let pairs: i64 = sheet.days.blood_pressure.iter().map(|row| i64::from(row.pair_count)).sum();
    if pairs == 0 {
        return html! {};
    }
    let days = sheet.days.blood_pressure.iter().filter(|row| row.pair_count > 0).count();
    let measured = counted(pairs, "measurement", "measurements");
    let mut what = measured;
    if let (Some(systolic), Some(diastolic)) =
        (mean(sheet, |row| row.systolic), mean(sheet, |row| row.diastolic))
    {
        what.push_str(&format!(", mean of all {systolic:.0}/{diastolic:.0}"));
    }
    let says = sheet.says(days, [what]);
    let frame = sheet.main_frame();
    let feet = feet(&by_day, |row| &row.day);
    let chart = Chart {
        id: "blood-pressure-chart".to_owned(),
        title: format!("Blood pressure by day, {}", sheet.when()),
        description: format!("{says}. The table of figures has the same in numbers."),
        frame,
        slots: &sheet.slots,
        scale,
        feet: &feet,
    };
    let lines = STAGE_1.map(|value| Line {
        slots: (0, sheet.slots.count()),
        low: Some(value),
        high: Some(value),
    });
    let drawing = levels(&chart, &lines, &[systolic, diastolic]);
    let signs = [
        (Sign::Mark(Shape::Down), "systolic, mean of the day"),
        (Sign::Mark(Shape::Up), "diastolic, mean of the day"),
        (Sign::Range, "least to greatest"),
        (Sign::Reference, "dashed: 130 and 80, where stage 1 begins (ACC/AHA 2017)"),
    ];
    figure(frame, "Blood pressure by day", "mmHg", &says, &drawing, &legend(&signs, &feet))
}

fn level(row: &BloodPressureDay, of: fn(&BloodPressureDay) -> [Option<f64>; 3]) -> Option<Level> {
    let [mean, least, greatest] = of(row);
    let words = format!(
        "{}: mean {}/{} mmHg, {}",
        text::short_date(row.day.date),
        text::places(row.systolic[0], 0),
        text::places(row.diastolic[0], 0),
        counted(row.pair_count.into(), "measurement", "measurements"),
    );
    let range = least.zip(greatest).filter(|(low, high)| low < high);
    mean.map(|mean| Level { range, value: Some(mean), words, ..Level::default() })
}

/// The mean over all exact measurements.
fn mean(sheet: &Sheet<'_>, of: fn(&BloodPressureDay) -> [Option<f64>; 3]) -> Option<f64> {
    let mut sum = 0.0;
    let mut pairs = 0.0;
    for row in &sheet.days.blood_pressure {
        if let [Some(mean), ..] = of(row) {
            let exact = f64::from(row.pair_count - row.censored_count);
            sum += mean * exact;
            pairs += exact;
        }
    }
    (pairs > 0.0).then_some(sum / pairs)
}

fn table(sheet: &Sheet<'_>, rows: &[BloodPressureDay]) -> Markup {
    let head = [
        "Measurements",
        "Systolic",
        "Least–greatest",
        "Diastolic",
        "Least–greatest",
        "MAP",
        "Worst category",
    ];
    let span = |[_, least, greatest]: [Option<f64>; 3]| match least.zip(greatest) {
        Some((least, greatest)) => format!("{}–{}", text::number(least), text::number(greatest)),
        None => text::NONE.to_owned(),
    };
    let rows = rows.iter().map(|row| {
        let category = row.worst_category.as_deref().map(|name| name.replace('_', " "));
        let cells = vec![
            thousands(row.pair_count.into()),
            text::optional(row.systolic[0]),
            span(row.systolic),
            text::optional(row.diastolic[0]),
            span(row.diastolic),
            text::optional(row.mean_arterial),
            category.unwrap_or_else(|| text::NONE.to_owned()),
        ];
        let unpaired = (row.unpaired_count > 0).then(|| {
            format!("{} without a partner", counted(row.unpaired_count.into(), "row", "rows"))
        });
        let bounds = (row.censored_count > 0)
            .then(|| format!("{} only a bound", thousands(row.censored_count.into())));
        TableRow::new(row.day.date, cells, sheet.notes(&row.day, [unpaired, bounds]))
    });
    let caption = "blood pressure, mmHg (MAP: mean arterial pressure)".to_owned();
    sheet.table(&DayTable { caption, head: &head, rows: rows.collect() })
}
