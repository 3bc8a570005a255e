//! Locates entries and syntax errors in a text.

/// Describes where a file is not TOML. The error's own text is unsuitable: it prints the line, which may
/// contain the password.
pub(super) fn syntax_problem(path: &str, text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    match error.span() {
        Some(span) => {
            let (line, column) = position(text, span.start);
            format!("{path} line {line} column {column} is not TOML: {message}")
        }
        None => format!("{path} is not TOML: {message}"),
    }
}

/// Line and column of a byte, both from 1, the column in characters.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
    (line, 1 + before[line_start..].chars().count())
}
