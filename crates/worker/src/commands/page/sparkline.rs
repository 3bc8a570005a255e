//! A line of the last hour.

use maud::{Markup, html};

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 36.0;

/// Draws the values from the oldest to the newest, of which an hour has `full`; a shorter history begins on the
/// right of it.
pub fn sparkline(values: &[f64], full: usize, label: &str) -> Markup {
    let most = values.iter().copied().fold(0.0, f64::max);
    let step = WIDTH / full.max(2).saturating_sub(1) as f64;
    let first = WIDTH - step * values.len().saturating_sub(1) as f64;
    let height = |value: f64| {
        if most > 0.0 { (HEIGHT - 2.0) - value / most * (HEIGHT - 4.0) } else { HEIGHT - 2.0 }
    };
    let point = |(index, value): (usize, &f64)| {
        format!("{:.1},{:.1}", first + step * index as f64, height(*value))
    };
    let points = values.iter().enumerate().map(point).collect::<Vec<_>>().join(" ");
    html! {
        svg.spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
            line.spark-floor x1="0" y1=(HEIGHT - 1.0) x2=(WIDTH) y2=(HEIGHT - 1.0) {}
            @if values.len() > 1 { polyline.spark-line points=(points) {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sparkline;

    #[test]
    fn the_highest_value_is_at_the_top_and_the_newest_on_the_right() {
        let drawn = sparkline(&[0.0, 5.0, 10.0], 3, "rows").into_string();
        assert!(drawn.contains("points=\"0.0,34.0 120.0,18.0 240.0,2.0\""), "{drawn}");
        assert!(!sparkline(&[1.0], 240, "rows").into_string().contains("polyline"));
    }
}
