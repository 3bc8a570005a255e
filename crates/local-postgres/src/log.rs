//! The last output of a program, short enough for an error of one line.

/// The number of lines that an error quotes: PostgreSQL needs up to three (FATAL, DETAIL, HINT).
const QUOTED_LINES: usize = 5;

/// The last non-blank lines of `text`, joined to one line.
pub(crate) fn last_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    lines[lines.len().saturating_sub(QUOTED_LINES)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_become_one() {
        let text = b"one\ntwo\n\nthree\n  four\nfive\nsix\n";
        assert_eq!(last_lines(text), "two | three | four | five | six");
        assert_eq!(last_lines(b"FATAL: no\n"), "FATAL: no");
    }

    #[test]
    fn silence_is_called_nothing() {
        assert_eq!(last_lines(b"\n \n"), "nothing");
    }
}
