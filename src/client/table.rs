//! Tables for people: columns as wide as what is in them, in 80 columns.
//!
//! Invariant: no line is longer than [`WIDTH`], whatever is in the last column.

use std::fmt::Write;

/// How wide a table may be.
pub(super) const WIDTH: usize = 80;

/// Between two columns.
const GAP: &str = "  ";

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) side: Side,
}

/// Which side of its column something is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// What is in a row's place.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    /// The ANSI colour it is shown in, if any is.
    pub(super) colour: Option<&'static str>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, colour: None }
    }
}

/// The table; the last column takes what is left of the width. `fit` shortens what is too long for it.
pub(super) fn render<const N: usize>(
    columns: [Column; N],
    rows: &[[Cell; N]],
    fit: impl Fn(&str, usize) -> String,
) -> String {
    let mut widths = columns.map(|column| column.head.len());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row).take(N - 1) {
            *width = length(&cell.text).max(*width);
        }
    }
    let left = WIDTH.saturating_sub(widths[..N - 1].iter().map(|width| width + GAP.len()).sum());
    let mut table = String::new();
    let heads = columns.map(|column| Cell::from(column.head.to_owned()));
    for row in [&heads].into_iter().chain(rows) {
        let mut line = String::new();
        for (index, (cell, column)) in row.iter().zip(columns).enumerate() {
            let is_last = index == N - 1;
            let fitted = if is_last { fit(&cell.text, left) } else { cell.text.clone() };
            let pad = if is_last { 0 } else { widths[index].saturating_sub(length(&fitted)) };
            let (before, after) = match column.side {
                Side::Left => (0, pad),
                Side::Right => (pad, 0),
            };
            let shown = painted(&fitted, cell.colour);
            // Writing to a string does not fail.
            let _ = write!(line, "{:before$}{shown}{:after$}{}", "", "", if is_last { "" } else { GAP });
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

/// The text in this colour.
pub(super) fn painted(text: &str, colour: Option<&str>) -> String {
    match colour {
        Some(colour) => format!("\x1b[{colour}m{text}\x1b[0m"),
        None => text.to_owned(),
    }
}

/// The text, or its end behind a sign that there is more.
pub(super) fn end_of(text: &str, width: usize) -> String {
    let length = length(text);
    match length <= width {
        true => text.to_owned(),
        false => {
            let kept: String = text.chars().skip(length - width.saturating_sub(1)).collect();
            format!("…{kept}").chars().take(width).collect()
        }
    }
}

/// How many columns it takes. Wide characters are not told from others: there are none but in paths.
fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { head: "N", side: Side::Right },
        Column { head: "STATE", side: Side::Left },
        Column { head: "PATH", side: Side::Left },
    ];

    fn row(cells: [&str; 3]) -> [Cell; 3] {
        cells.map(|text| Cell::from(text.to_owned()))
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [row(["9", "ready", "/a"]), row(["10", "dead", ""])];
        let expected = " N  STATE  PATH\n 9  ready  /a\n10  dead\n";
        assert_eq!(render(COLUMNS, &rows, end_of), expected);
    }

    #[test]
    fn a_colour_takes_no_room() {
        let mut rows = [row(["9", "ok", "/a"])];
        rows[0][1].colour = Some("32");
        assert_eq!(render(COLUMNS, &rows, end_of), "N  STATE  PATH\n9  \x1b[32mok\x1b[0m     /a\n");
    }

    #[test]
    fn what_is_too_long_is_shortened() {
        let long = "/very".repeat(40);
        let table = render(COLUMNS, &[row(["1", "ready", &long])], end_of);
        let widest = table.lines().map(|line| line.chars().count()).max();
        assert_eq!(widest, Some(WIDTH));
        assert!(table.contains("…"), "{table}");
        assert_eq!((&*end_of("abc", 3), &*end_of("abcd", 3), &*end_of("abc", 0)), ("abc", "…cd", ""));
    }
}
