//! Text fitted into columns. Widths are those of a terminal: two columns for a CJK character.

use ratatui::text::Span;

/// Cut off at the end, with a mark.
pub fn cut(text: &str, width: usize) -> String {
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if Span::raw(kept.as_str()).width() + Span::raw(c.to_string()).width() + 1 > width {
            break;
        }
        kept.push(c);
    }
    kept + "…"
}

/// Cut off at the beginning, with a mark: the end of a path says most.
pub fn cut_front(text: &str, width: usize) -> String {
    let backwards: String = text.chars().rev().collect();
    cut(&backwards, width).chars().rev().collect()
}

/// Broken into lines of at most `width` columns, between words where possible. At least one line.
pub fn wrapped(text: &str, width: u16) -> Vec<String> {
    let width = usize::from(width.max(2));
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last().map_or(0, |line| Span::raw(line.as_str()).width());
        let gap = usize::from(last > 0);
        if last > 0 && last + gap + Span::raw(word).width() > width {
            lines.push(String::new());
        } else if last > 0
            && let Some(line) = lines.last_mut()
        {
            line.push(' ');
        }
        for c in word.chars() {
            let full =
                lines.last().is_some_and(|l| Span::raw(l.as_str()).width() + Span::raw(c.to_string()).width() > width);
            if full {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
        }
    }
    lines
}

/// So many of `all` cells for a share from 0 to 1; a little is one.
pub fn cells(share: f64, all: usize) -> usize {
    (1..=all).find(|n| share <= *n as f64 / all as f64).filter(|_| share > 0.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words_and_long_words_anywhere() {
        assert_eq!(wrapped("", 10), [""]);
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one /a/very/long/path end", 8), ["one", "/a/very/", "long/pat", "h end"]);
        assert_eq!(wrapped("日本語 日本語", 7), ["日本語", "日本語"]);
        assert_eq!(wrapped("日本語", 3), ["日", "本", "語"]);
    }

    #[test]
    fn shares_in_cells() {
        assert_eq!([0.0, 0.01, 0.1, 0.11, 0.95, 1.0].map(|share| cells(share, 10)), [0, 1, 1, 2, 10, 10]);
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(cut("12345", 5), "12345");
        assert_eq!(cut("123456", 5), "1234…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut_front("/user.slice/a.scope", 9), "…/a.scope");
    }
}
