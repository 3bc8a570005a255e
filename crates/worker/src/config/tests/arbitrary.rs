//! Arbitrary files and variables are accepted, or refused with a message.

use proptest::prelude::*;

use super::{Config, TempFile};

/// Too long to occur in a message by chance.
const SECRET: &str = "Xq7vKp2mWz9t";

/// Valid keys with arbitrary values, and lines that are no keys.
fn line() -> impl Strategy<Value = String> {
    const KEYS: &[&str] =
        &["max_size", "size", "url", "interval_seconds", "default_zone", "level", "extra"];
    const SECTIONS: &[&str] =
        &["pool", "batch", "database", "schedule", "aggregation", "log", "nonsense"];
    let values = prop_oneof![
        Just("1".to_owned()),
        Just("-9223372036854775808".to_owned()),
        Just("1e308".to_owned()),
        Just("nan".to_owned()),
        Just("\"\"".to_owned()),
        Just("[1, [2]]".to_owned()),
        "\"\\PC{0,12}\"",
        "\\PC{0,12}",
    ];
    prop_oneof![
        (prop::sample::select(KEYS), values).prop_map(|(key, value)| format!("{key} = {value}")),
        prop::sample::select(SECTIONS).prop_map(|section| format!("[{section}]")),
        "\\PC{0,30}",
    ]
}

proptest! {
    #[test]
    fn any_file_is_taken_or_refused_with_a_sentence(lines in prop::collection::vec(line(), 0..8)) {
        let file = TempFile::new(lines.join("\n"));
        if let Err(error) = Config::load(Some(file.path()), [("PATH", "/bin")], None) {
            prop_assert!(error.to_string().contains(&file.shown()), "{error}");
        }
    }

    #[test]
    fn any_bytes_are_no_reason_to_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let file = TempFile::new(bytes);
        let _ = Config::load(Some(file.path()), [("PATH", "/bin")], None);
    }

    #[test]
    fn any_variable_is_taken_or_refused_by_its_name(
        section in prop::sample::select(&["POOL", "BATCH", "DATABASE", "LOG", "NONSENSE"][..]),
        key in prop::sample::select(&["MAX_SIZE", "SIZE", "URL", "LEVEL", "POOLER"][..]),
        value in "\\PC{0,20}",
    ) {
        let name = format!("WORKER__{section}__{key}");
        if let Err(error) = Config::load(None, [(name.clone(), value)], None) {
            prop_assert!(error.to_string().contains(&name), "{error}");
        }
    }

    #[test]
    fn no_message_about_a_url_has_its_password(
        scheme in prop::sample::select(&["postgresql://", "postgres://", "mysql://", "", "//", "postgresql:"][..]),
        user in "[a-z@:/%]{0,6}",
        host in "[a-z0-9.:\\[\\]%/]{0,12}",
        tail in "[/?&=a-z0-9%,]{0,20}",
        spaced in any::<bool>(),
    ) {
        let urls = [
            format!("{scheme}{user}:{SECRET}@{host}{tail}"),
            format!("{scheme}{host}/{tail}?password={SECRET}&user={user}"),
            format!("host={host} password={}{SECRET} {tail}", if spaced { " " } else { "" }),
        ];
        for url in urls {
            if let Err(error) = store::connection_plan(&url, &|_| None) {
                prop_assert!(!error.to_string().contains(SECRET), "{error}");
                prop_assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
            }
        }
    }
}
