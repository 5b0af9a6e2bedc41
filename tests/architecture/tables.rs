//! The tables of ARCHITECTURE.md, which are the rules.

use std::path::Path;

use crate::source::read;

/// The table of rooms: which there are, and which each may name besides itself.
pub(crate) struct Rooms(Vec<Row>);

struct Row {
    /// As a path of modules, joined by `/`.
    name: String,
    may_name: Allowed,
}

enum Allowed {
    Only(Vec<String>),
    Everything,
}

impl Rooms {
    pub(crate) fn read() -> Self {
        let rows = rows_of("room").into_iter().map(|cells| Row {
            name: bare(&cells[0]),
            may_name: match cells[2].as_str() {
                "-" => Allowed::Only(Vec::new()),
                "all of the above" => Allowed::Everything,
                names => Allowed::Only(names.split(',').map(bare).collect()),
            },
        });
        Self(rows.collect())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|row| row.name.as_str())
    }

    /// The room a module, or a path from the crate's root, is in: the row that names most of it.
    pub(crate) fn of(&self, module: &[String]) -> Option<&str> {
        let within = |name: &&str| {
            let parts: Vec<_> = name.split('/').collect();
            parts.len() <= module.len() && parts.iter().zip(module).all(|(part, found)| part == found)
        };
        self.names().filter(within).max_by_key(|name| name.len())
    }

    /// Whether this is a folder of rooms and none itself.
    pub(crate) fn are_below(&self, module: &[String]) -> bool {
        let folder = format!("{}/", module.join("/"));
        self.names().any(|name| name.starts_with(&folder))
    }

    pub(crate) fn allows(&self, room: &str, named: &str) -> bool {
        room == named
            || self.0.iter().filter(|row| row.name == room).any(|row| match &row.may_name {
                Allowed::Only(names) => names.iter().any(|name| name == named),
                Allowed::Everything => true,
            })
    }
}

/// The table of JavaScript folders: each with those it may require besides itself.
pub(crate) fn javascript_folders() -> Vec<(String, Vec<String>)> {
    let names = |cell: &String| match cell.as_str() {
        "-" => Vec::new(),
        names => names.split(',').map(bare).collect(),
    };
    rows_of("folder").into_iter().map(|cells| (bare(&cells[0]), names(&cells[3]))).collect()
}

/// The rows of the table whose first column has this head, cell by cell.
fn rows_of(head: &str) -> Vec<Vec<String>> {
    let text = read(Path::new("ARCHITECTURE.md"));
    let start = format!("| {head} |");
    let table = text.lines().skip_while(|line| !line.starts_with(&start));
    let rows: Vec<_> = table.skip(2).take_while(|line| line.starts_with('|')).map(cells).collect();
    assert!(rows.len() > 3, "ARCHITECTURE.md has a table that begins with `{start}`");
    rows
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn bare(cell: impl AsRef<str>) -> String {
    cell.as_ref().trim().trim_matches('`').to_owned()
}
