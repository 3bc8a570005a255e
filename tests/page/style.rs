//! The colours of the page have the contrast of WCAG 2.2, AA.

use std::collections::BTreeMap;
use std::fs;

use crate::support::root;

/// The colours of a scheme by their names.
type Colours = BTreeMap<String, [f64; 3]>;

fn style() -> String {
    fs::read_to_string(root().join("crates/worker/src/commands/page/style.css")).unwrap()
}

/// The colours that a block of declarations sets.
fn colours(block: &str) -> Colours {
    let colour = |text: &str| {
        let hex = text.trim().strip_prefix('#').filter(|hex| hex.len() == 6)?;
        let part = |index| u8::from_str_radix(&hex[index..index + 2], 16).ok().map(f64::from);
        Some([part(0)?, part(2)?, part(4)?])
    };
    let declarations = block.split([';', '{', '}']).filter_map(|of| of.trim().split_once(':'));
    let named = declarations.filter_map(|(name, value)| {
        Some((name.trim().strip_prefix("--")?.to_owned(), colour(value)?))
    });
    named.collect()
}

fn ratio(a: [f64; 3], b: [f64; 3]) -> f64 {
    let light = |colour: [f64; 3]| {
        let [red, green, blue] = colour.map(|part| {
            let part = part / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    };
    let (a, b) = (light(a), light(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn texts_and_signs_are_told_from_what_is_behind_them_in_both_schemes() {
    let style = style();
    let mut blocks = style.split(":root {").skip(1).map(|rest| rest.split('}').next().unwrap());
    let light = colours(blocks.next().unwrap());
    let dark = colours(blocks.next().unwrap());
    assert_eq!(light.keys().collect::<Vec<_>>(), dark.keys().collect::<Vec<_>>());
    assert!((ratio([0.0; 3], [255.0; 3]) - 21.0).abs() < 1e-9);
    let grounds = ["paper", "tint", "notice", "bad-ground"];
    for (scheme, colours) in [("light", light), ("dark", dark)] {
        let colour = |name: &str| colours[name];
        for ground in grounds {
            for text in ["ink", "soft", "accent", "good", "warn", "bad"] {
                let ratio = ratio(colour(text), colour(ground));
                assert!(ratio >= 4.5, "{scheme}: {text} on {ground} has {ratio:.2}");
            }
            for sign in ["spark", "notice-line", "bad-line"] {
                let ratio = ratio(colour(sign), colour(ground));
                assert!(ratio >= 3.0, "{scheme}: {sign} on {ground} has {ratio:.2}");
            }
        }
        for (text, ground) in [("button-ink", "button"), ("paper", "bad")] {
            let ratio = ratio(colour(text), colour(ground));
            assert!(ratio >= 4.5, "{scheme}: {text} on {ground} has {ratio:.2}");
        }
    }
}

#[test]
fn motion_is_for_those_who_have_not_asked_for_less_and_focus_is_shown() {
    let style = style();
    for motion in ["transition", "animation", "scroll-behavior"] {
        for (place, _) in style.match_indices(motion) {
            let before = &style[..place];
            let rule = before.rfind("@media").map_or("", |at| &before[at..]);
            assert!(rule.starts_with("@media (prefers-reduced-motion: no-preference)"), "{motion}");
        }
    }
    assert!(style.contains(":focus-visible { outline: 3px solid var(--accent)"));
    assert_eq!(style.matches("outline: none").count(), 1, "only of what is no control");
}
