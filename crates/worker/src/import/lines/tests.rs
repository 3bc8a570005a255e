use aggregation::UserIdType;
use proptest::prelude::*;

use super::*;
use crate::cli::ImportKind;
use exports::records::{MAX_FIELD_BYTES, MAX_LINE_BYTES};

fn read(kind: ImportKind, text: &str) -> anyhow::Result<Vec<Line>> {
    let columns = Columns::for_kind(kind, UserIdType::Bigint);
    let mut lines = Lines::new(text.as_bytes(), &columns, false)?;
    let mut found = Vec::new();
    while let Some(line) = lines.next()? {
        found.push(line);
    }
    Ok(found)
}

const HEADER: &str = "user_id,metric,value,started_at";

fn problem(line: &str) -> String {
    match read(ImportKind::Vitals, &format!("{HEADER}\n{line}\n")).unwrap().as_slice() {
        [Line::Bad(bad)] => format!("line {}: {}", bad.number, bad.problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_needs_only_the_columns_that_must_be_known() {
    let lines =
        read(ImportKind::Vitals, &format!("{HEADER}\n7,steps,12,2024-01-02T03:04:05+01:00\n"));
    let time = Some("2024-01-02T02:04:05.000000Z".to_owned());
    let expected = vec![
        Some("7".to_owned()),
        Some("steps".to_owned()),
        Some("12".to_owned()),
        None,
        Some(String::new()),
        Some(String::new()),
        time.clone(),
        time,
        None,
        Some("false".to_owned()),
        None,
    ];
    assert_eq!(lines.unwrap(), [Line::Good(expected)]);
}

#[test]
fn a_bad_line_is_named_with_its_number_and_column_but_without_its_value() {
    assert_eq!(
        problem("x,steps,12,2024-01-02T03:04:05Z"),
        "line 2: user_id is not a whole number of 64 bits"
    );
    assert_eq!(problem("7,steps,1OO,2024-01-02T03:04:05Z"), "line 2: value is not a number");
    assert_eq!(
        problem("7,steps,1e999,2024-01-02T03:04:05Z"),
        "line 2: value is a number too large for 64 bits"
    );
    assert_eq!(problem("7,,12,2024-01-02T03:04:05Z"), "line 2: metric is empty");
    assert_eq!(
        problem("7,steps,12"),
        "line 2: it has 3 fields, but the first line names 4 columns"
    );
    assert_eq!(
        problem("7,a\0b,12,2024-01-02T03:04:05Z"),
        "line 2: metric must not contain a NUL character"
    );
    assert!(
        problem("7,steps,12,yesterday").starts_with("line 2: started_at is not a time with offset")
    );
    assert!(
        problem("7,steps,12,2024-01-02 03:04:05").starts_with("line 2: started_at is not a time")
    );
}

#[test]
fn postgresql_s_own_notation_of_times_is_understood() {
    let text = format!("{HEADER}\n7,steps,12,2024-01-02 03:04:05.25+00\n");
    let lines = read(ImportKind::Vitals, &text).unwrap();
    assert!(
        matches!(&lines[0], Line::Good(row) if row[6].as_deref() == Some("2024-01-02T03:04:05.250000Z"))
    );
}

#[test]
fn a_header_that_does_not_fit_says_why() {
    let error = |text: &str| read(ImportKind::Vitals, text).unwrap_err().to_string();
    assert_eq!(
        error("user_id,metrik,value,started_at\n"),
        "line 1: there is no column \"metrik\"; did you mean metric? --skip-unknown-columns leaves \
         unknown columns out"
    );
    assert_eq!(
        error("user_id,value,value,started_at\n"),
        "line 1: column \"value\" is named twice"
    );
    assert_eq!(error("user_id,value\n"), "line 1: the file lacks the column metric, started_at");
    assert!(error("").starts_with("line 1: the file is empty"));
    for utf16 in ["\u{0}u\u{0}s\u{0}e\u{0}r", "u\u{0}s\u{0}e\u{0}r\u{0}"] {
        assert!(error(utf16).contains("iconv -f UTF-16 -t UTF-8"), "{}", error(utf16));
    }
}

#[test]
fn columns_are_known_in_any_case_and_with_spaces_and_quotes_around_them() {
    let text =
        "\u{feff}\"User_ID\", METRIC ,Value,\"Started_At\"\r\n7,steps,12,2024-01-02T03:04:05Z\r\n";
    let lines = read(ImportKind::Vitals, text).unwrap();
    assert!(matches!(lines.as_slice(), [Line::Good(_)]), "{lines:?}");
}

#[test]
fn unknown_columns_are_left_out_if_asked_to_and_named() {
    let columns = Columns::for_kind(ImportKind::Vitals, UserIdType::Bigint);
    let text = "user_id,Device,metric,value,started_at\n7,x,steps,12,2024-01-02T03:04:05Z\n";
    let mut lines = Lines::new(text.as_bytes(), &columns, true).unwrap();
    assert_eq!(lines.skipped(), ["Device"]);
    assert!(matches!(lines.next().unwrap(), Some(Line::Good(_))));
}

#[test]
fn a_comparator_before_the_value_is_one_and_a_word_instead_of_a_number_is_none() {
    let header = "user_id,metric,value,comparator,started_at";
    let good = |value: &str, comparator: &str| {
        let text = format!("{header}\n7,g,{value},{comparator},2024-01-02T03:04:05Z\n");
        match read(ImportKind::Vitals, &text).unwrap().remove(0) {
            Line::Good(row) => Ok((row[2].clone().unwrap(), row[3].clone())),
            Line::Bad(bad) => Err(bad.problem),
        }
    };
    let read = |value: &str, comparator: Option<&str>| {
        Ok((value.to_owned(), comparator.map(str::to_owned)))
    };
    assert_eq!(good("<40", ""), read("40", Some("<")));
    assert_eq!(good("> 400.5", ""), read("400.5", Some(">")));
    assert_eq!(good("<40", "<"), read("40", Some("<")));
    assert_eq!(good("40", ">"), read("40", Some(">")));
    assert_eq!(good("40", ""), read("40", None));
    assert_eq!(good("<40", ">"), Err("comparator differs from the one in value".to_owned()));
    for word in ["Low", "HIGH", "Lo", "hi"] {
        assert!(good(word, "").unwrap_err().contains("has its bound here and < or >"), "{word}");
    }
    for word in ["<", "<low", "<=40", "<<40", "-"] {
        assert_eq!(good(word, ""), Err("value is not a number".to_owned()), "{word}");
    }
}

#[test]
fn lines_after_a_bad_one_are_read() {
    let text =
        format!("{HEADER}\nx,steps,12,2024-01-02T03:04:05Z\n7,steps,12,2024-01-02T03:04:05Z\n");
    let lines = read(ImportKind::Vitals, &text).unwrap();
    assert!(matches!(lines.as_slice(), [Line::Bad(_), Line::Good(_)]));
}

#[test]
fn a_bad_line_has_its_number_also_after_empty_lines_and_at_the_end_of_the_file() {
    let good = "7,steps,12,2024-01-02T03:04:05Z";
    let text = format!("{HEADER}\n\n{good}\n\n\nx\n{good}\n\ny");
    for text in [text.clone(), text.replace('\n', "\r\n")] {
        let lines = read(ImportKind::Vitals, &text).unwrap();
        let bad = lines.iter().filter_map(|line| match line {
            Line::Bad(bad) => Some(bad.number),
            Line::Good(_) => None,
        });
        assert_eq!((bad.collect::<Vec<_>>(), lines.len()), (vec![6, 9], 4));
    }
}

#[test]
fn a_quote_that_is_not_closed_is_told_with_the_line_where_it_opens() {
    for before in ["", "\n\n", "7,steps,1,2024-01-02T03:04:05Z\n"] {
        for behind in ["", "\n", "\n7,steps,1\n"] {
            let text = format!("{HEADER}\n{before}7,\"steps,1,2{behind}");
            let lines = read(ImportKind::Vitals, &text).unwrap();
            let bad = lines.iter().find_map(|line| match line {
                Line::Bad(bad) => Some(bad),
                Line::Good(_) => None,
            });
            let expected = 2 + before.matches('\n').count() as u64;
            assert_eq!(bad.map(|bad| bad.number), Some(expected), "{text:?}");
        }
    }
}

#[test]
fn two_rows_between_two_quotes_are_not_one() {
    let header = "user_id,metric,value,source,started_at";
    let rows = "7,steps,1,\"watch,2024-01-02T03:04:05Z\n7,steps,2,phone\",2024-01-02T03:04:05Z\n\
                7,steps,3,\"wa\ntch\",2024-01-02T03:04:05Z\n";
    let lines = read(ImportKind::Vitals, &format!("{header}\n{rows}")).unwrap();
    let [Line::Bad(bad), Line::Good(second), Line::Good(third)] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!((bad.number, bad.problem.contains("a quote opens in it")), (2, true), "{bad:?}");
    assert_eq!(second[5].as_deref(), Some("phone\""));
    // A text of two lines is one field.
    assert_eq!(third[5].as_deref(), Some("wa\ntch"));
}

#[test]
fn a_field_that_is_too_long_is_a_bad_line() {
    let long = "x".repeat(MAX_FIELD_BYTES + 1);
    assert!(problem(&format!("7,{long},12,2024-01-02T03:04:05Z")).contains("field is longer"));
    let long = "x".repeat(MAX_LINE_BYTES + 1);
    assert!(problem(&format!("7,{long},12,2024-01-02T03:04:05Z")).contains("it is longer"));
}

#[test]
fn text_that_is_not_utf_8_is_a_bad_line() {
    let columns = Columns::for_kind(ImportKind::Vitals, UserIdType::Bigint);
    let text = [HEADER.as_bytes(), b"\n7,\xff\xfe,12,2024-01-02T03:04:05Z\n"].concat();
    let mut lines = Lines::new(text.as_slice(), &columns, false).unwrap();
    let Some(Line::Bad(bad)) = lines.next().unwrap() else { panic!() };
    assert_eq!(bad.problem, "metric is not UTF-8 text");
}

/// A field as a spreadsheet writes it, or arbitrary bytes.
fn field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"7".to_vec()),
        Just(b"heart_rate".to_vec()),
        Just(b"-1.5e300".to_vec()),
        Just(b"2024-01-02T03:04:05Z".to_vec()),
        Just(b"\"quoted, and \"\"more\"".to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
        "\\PC{0,20}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn each_line_of_any_file_is_good_or_bad(
        header in any::<bool>(),
        fields in prop::collection::vec(prop::collection::vec(field(), 0..8), 0..8),
    ) {
        let mut text = if header { format!("{HEADER}\n").into_bytes() } else { Vec::new() };
        for line in &fields {
            text.extend(line.join(&b','));
            text.push(b'\n');
        }
        for kind in [ImportKind::Vitals, ImportKind::Nutrition, ImportKind::Labs, ImportKind::Profiles] {
            let columns = Columns::for_kind(kind, UserIdType::Bigint);
            let Ok(mut lines) = Lines::new(text.as_slice(), &columns, false) else { continue };
            let (mut last, mut count) = (1, 0);
            while let Some(line) = lines.next().unwrap() {
                count += 1;
                if let Line::Bad(bad) = line {
                    prop_assert!(bad.number > last, "{} behind {last}", bad.number);
                    last = bad.number;
                }
            }
            prop_assert!(count <= text.iter().filter(|byte| **byte == b'\n').count());
        }
    }
}
