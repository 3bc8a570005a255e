//! Splits a file of SQL into statements, for servers and poolers that accept one command per message.

/// Splits SQL after each semicolon that ends a statement. Joined, the parts equal the text.
///
/// It recognises strings, quoted names, dollar quotes, comments and parentheses, as psql does. It does
/// not recognise functions with the body `BEGIN ATOMIC … END`: no migration has one.
pub(crate) fn statements(sql: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut at, mut depth) = (0, 0, 0_usize);
    while let Some(next) = sql[at..].chars().next() {
        at += match next {
            '\'' => quoted(&sql[at..], '\'', is_escape_string(&sql[begin..at])),
            '"' => quoted(&sql[at..], '"', false),
            '-' if sql[at..].starts_with("--") => line(&sql[at..]),
            '/' if sql[at..].starts_with("/*") => block_comment(&sql[at..]),
            '$' if !ends_in_word(&sql[begin..at]) => dollar_quoted(&sql[at..]),
            _ => next.len_utf8(),
        };
        match next {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => {
                parts.push(&sql[begin..at]);
                begin = at;
            }
            _ => {}
        }
    }
    if begin < sql.len() {
        parts.push(&sql[begin..]);
    }
    parts
}

/// The first line of a statement that is neither empty nor a comment, with its index in the statement,
/// from 0.
pub(crate) fn first_line(statement: &str) -> Option<(usize, &str)> {
    let lines = statement.lines().map(str::trim).enumerate();
    lines.into_iter().find(|(_, line)| !line.is_empty() && !line.starts_with("--"))
}

fn ends_in_word(text: &str) -> bool {
    text.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$')
}

/// Whether the string that begins here has backslash escapes, as in `E'\''`.
fn is_escape_string(before: &str) -> bool {
    let before_e = before.strip_suffix(['e', 'E']);
    before_e.is_some_and(|text| !ends_in_word(text))
}

/// The length of a string or a quoted name, in which a doubled quote is one character.
fn quoted(text: &str, quote: char, has_escapes: bool) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((place, character)) = characters.next() {
        if character == '\\' && has_escapes {
            characters.next();
        } else if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return place + quote.len_utf8();
        }
    }
    text.len()
}

fn line(text: &str) -> usize {
    text.find('\n').map_or(text.len(), |end| end + 1)
}

/// The length of a block comment. In SQL, block comments may be nested.
fn block_comment(text: &str) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let Some(place) = text[at..].find(['*', '/']) else { return text.len() };
        at += place;
        let step = match &text[at..] {
            rest if rest.starts_with("/*") => {
                depth += 1;
                2
            }
            rest if rest.starts_with("*/") => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
    }
    at
}

/// The length of a dollar-quoted string, or 1 for a lone dollar, as in `$1`.
fn dollar_quoted(text: &str) -> usize {
    let Some(end) = text[1..].find('$') else { return 1 };
    let tag = &text[..end + 2];
    let name = &text[1..=end];
    let is_tag = !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !is_tag {
        return 1;
    }
    text[tag.len()..].find(tag).map_or(text.len(), |body| 2 * tag.len() + body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{first_line, statements};

    #[test]
    fn a_semicolon_ends_a_statement_unless_it_is_quoted_commented_or_in_parentheses() {
        for (sql, count) in [
            ("SELECT 1; SELECT 2;", 2),
            ("SELECT 1; SELECT 2", 2),
            ("", 0),
            ("SELECT ';'; SELECT 1", 2),
            ("SELECT 'it''s;'; SELECT 1", 2),
            (r"SELECT 'a\'; SELECT 1", 2),
            (r"SELECT E'a\';'; SELECT 1", 2),
            (r"SELECT E'it''s\';'; SELECT 1", 2),
            (r"SELECT type'a\'; SELECT 1", 2),
            (r#"SELECT "a;""b"; SELECT 1"#, 2),
            ("SELECT 1 -- not here;\n; SELECT 1", 2),
            ("SELECT 1 /* nor ; /* here; */ ; */; SELECT 1", 2),
            ("DO $$ BEGIN; END $$; SELECT 1", 2),
            ("DO $a$ $$;$$ $b$;$b$ $a$; SELECT 1", 2),
            ("SELECT $1; SELECT $2", 2),
            ("SELECT a$b$ FROM t; SELECT c$b$ FROM t", 2),
            ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 1", 2),
            ("SELECT 'open; SELECT 1", 1),
            ("SELECT 'é;ö'; SELECT 1", 2),
        ] {
            assert_eq!(statements(sql).len(), count, "{sql}");
        }
    }

    #[test]
    fn the_first_line_of_a_statement_is_no_comment() {
        assert_eq!(first_line("\n-- why\n  CREATE TABLE t (\n);"), Some((2, "CREATE TABLE t (")));
        assert_eq!(first_line("\n-- the end\n"), None);
    }

    proptest! {
        #[test]
        fn the_statements_of_any_text_are_the_text_again(sql in r#"([-;'"$a1Eé/*\\()\n ]|\$\$|--){0,60}"#) {
            prop_assert_eq!(statements(&sql).concat(), sql);
        }

        /// Joined parts that end outside of all quotes are split at the joints again.
        #[test]
        fn whole_statements_are_found_again(
            whole in prop::collection::vec(
                prop::sample::select(vec![
                    "SELECT 1;", " DO $$ ; $$;", "\nSELECT ';''';", "/* ; */ SELECT \";\";",
                    "-- ;\nSELECT E'\\';';", "SELECT (1);", "DO $x$ $$ ; $$ $x$;",
                ]),
                0..12,
            )
        ) {
            let sql = whole.concat();
            prop_assert_eq!(statements(&sql), whole);
        }
    }
}
