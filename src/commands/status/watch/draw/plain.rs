//! The same picture for terminals that can do less.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::super::terminal::Abilities;

/// Takes out of a finished picture what the terminal can't show.
pub fn plain(picture: &mut Buffer, abilities: Abilities) {
    for cell in &mut picture.content {
        if !abilities.colour {
            cell.fg = Color::Reset;
            cell.bg = Color::Reset;
        }
        if !abilities.emphasis {
            cell.modifier = Modifier::empty();
        }
        if !abilities.utf8 && !cell.symbol().is_ascii() {
            let instead = ascii(cell.symbol());
            cell.set_symbol(instead);
        }
    }
}

fn ascii(symbol: &str) -> &'static str {
    match symbol {
        "█" | "▇" | "▆" => "#",
        "▅" | "▄" | "▃" => ":",
        "▂" | "▁" => ".",
        "·" => ".",
        "▕" | "▏" | "│" => "|",
        "─" => "-",
        "┌" | "┐" | "└" | "┘" => "+",
        "↑" => "^",
        "↓" => "v",
        "…" => "~",
        _ => "?",
    }
}
