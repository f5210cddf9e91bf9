//! A page of text: 80 columns, no colour, so that it can be read over any line and pasted into any ticket.

use std::fmt::Display;

/// Columns of a page.
pub(in crate::commands) const WIDTH: usize = 80;

/// Lines with one way to indent.
#[derive(Debug, Default)]
pub(in crate::commands) struct Page(String);

impl Page {
    /// A heading, after an empty line.
    pub fn heading(&mut self, text: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.line(text);
    }

    /// A line as it is.
    pub fn line(&mut self, text: impl Display) {
        self.0.push_str(text.to_string().trim_end());
        self.0.push('\n');
    }

    /// A text after a label, in a column of its own: `  12:03:04  sent SIGTERM …`. A word longer than a line stays whole:
    /// it is a path or a command, and is pasted.
    pub fn labelled(&mut self, label: &str, text: &str) {
        let room = WIDTH.saturating_sub(width(label)).max(WIDTH / 3);
        for (n, line) in wrapped(text, room).into_iter().enumerate() {
            let label = if n == 0 { label.to_owned() } else { " ".repeat(width(label)) };
            self.line(format!("{label}{line}"));
        }
    }

    /// The text so far.
    pub fn text(self) -> String {
        self.0
    }
}

/// How many columns a text takes, if each character takes one.
pub(in crate::commands) fn width(text: &str) -> usize {
    text.chars().count()
}

/// A text of so many columns at most, with an ellipsis where it is cut.
pub(in crate::commands) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut taken = 0;
    // What stands in backquotes is pasted, so it is broken only where it does not fit a line of its own.
    for word in words(text) {
        let long = width(word);
        if taken > 0 && taken + 1 + long > room {
            lines.push(String::new());
            taken = 0;
        }
        let line = lines.last_mut().unwrap_or_else(|| unreachable!("there is always a last line"));
        if taken > 0 {
            line.push(' ');
            taken += 1;
        }
        line.push_str(word);
        taken += long;
    }
    lines
}

/// What stays together: a command in backquotes, a number and its unit.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut begin, mut quoted) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '`' => quoted = !quoted,
            ' ' if !quoted && !is_before_unit(&text[begin..at], &text[at + 1..]) => {
                words.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[begin..]);
    words.retain(|word| !word.is_empty());
    words
}

fn is_before_unit(word: &str, rest: &str) -> bool {
    const UNITS: [&str; 10] = ["B", "KiB", "MiB", "GiB", "TiB", "%", "ms", "s", "min", "h"];
    let next = rest.split(' ').next().unwrap_or_default().trim_end_matches([',', ';', ':', '.', ')']);
    let next = next.strip_suffix("/s").unwrap_or(next);
    word.ends_with(|c: char| c.is_ascii_digit()) && UNITS.contains(&next)
}

/// A table with columns as wide as they need be, two spaces between, and without trailing blanks.
pub(in crate::commands) fn table(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|n| rows.iter().filter_map(|row| row.get(n)).map(|cell| width(cell)).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(n, (cell, wide))| {
            let blank = " ".repeat(wide.saturating_sub(width(cell)));
            if right.contains(&n) { format!("{blank}{cell}") } else { format!("{cell}{blank}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_wraps_beside_its_label_and_commands_stay_whole() {
        let mut page = Page::default();
        page.labelled(
            "  1. ",
            &format!("set it: `systemctl set-property {} MemoryHigh=infinity` and look", "x".repeat(50)),
        );
        let expected = format!(
            "  1. set it:\n     `systemctl set-property {} MemoryHigh=infinity`\n     and look\n",
            "x".repeat(50)
        );
        assert_eq!(page.text(), expected);
    }

    #[test]
    fn what_is_too_long_for_its_column_is_cut() {
        assert_eq!((cut("abcd", 4).as_str(), cut("äbcde", 4).as_str()), ("abcd", "äbc…"));
    }

    #[test]
    fn columns_line_up() {
        let rows =
            [vec!["a".to_owned(), "10 MiB".into(), "x".into()], vec!["bcd".into(), "9 MiB".into(), String::new()]];
        assert_eq!(table(&rows, &[1]), ["a    10 MiB  x", "bcd   9 MiB"]);
    }
}
