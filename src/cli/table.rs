//! Columns for people: as wide as their widest cell, the last one as long as it likes.

/// A row of cells, some of them in colour.
pub(super) type Row<const N: usize> = [Cell; N];

/// Text in a colour, or in none.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    colour: Option<Colour>,
}

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// As it should be.
    Good,
    /// In doubt, or on its way.
    Doubtful,
    /// Not as it should be.
    Bad,
}

const GAP: &str = "  ";
const RESET: &str = "\x1b[0m";

impl Cell {
    /// Text in the terminal's own colour.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: printable(&text.into()), colour: None }
    }

    /// Text in the colour of what it means, where colours are shown.
    pub(super) fn coloured(text: impl Into<String>, colour: Option<Colour>) -> Self {
        Self { colour, ..Self::plain(text) }
    }
}

/// The rows, one a line, each behind `indent`.
pub(super) fn lay_out<const N: usize>(rows: &[Row<N>], indent: &str, colours: bool) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].text.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        for (cell, width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
            line.push_str(&paint(cell, colours));
            line.push_str(&" ".repeat(width - cell.text.chars().count()));
            line.push_str(GAP);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Text in a colour.
pub(super) fn paint(cell: &Cell, colours: bool) -> String {
    let start = match cell.colour {
        Some(Colour::Good) => "\x1b[32m",
        Some(Colour::Doubtful) => "\x1b[33m",
        Some(Colour::Bad) => "\x1b[31m",
        None => return cell.text.clone(),
    };
    if colours { format!("{start}{}{RESET}", cell.text) } else { cell.text.clone() }
}

/// What a server tells may quote what an endpoint said; it must not move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_whatever_the_colours_and_empty_ones_are_left_out() {
        let row = |a: &str, b: &str| {
            [Cell::plain(a), Cell::coloured(b, Some(Colour::Bad)), Cell::plain(""), Cell::plain("end")]
        };
        let rows = [row("é", "down"), row("four", "up")];
        assert_eq!(lay_out(&rows, "  ", false), "  é     down  end\n  four  up    end\n");
        assert_eq!(
            lay_out(&rows, "", true),
            "é     \x1b[31mdown\x1b[0m  end\nfour  \x1b[31mup\x1b[0m    end\n"
        );
    }

    #[test]
    fn what_is_quoted_cannot_move_the_cursor() {
        assert_eq!(lay_out(&[[Cell::plain("a\x1b[2J\n")]], "", false), "a\u{fffd}[2J\u{fffd}\n");
    }
}
