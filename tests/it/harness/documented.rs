//! What `docs/log-events.md` promises of luster's JSON lines; every story's lines are held to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;

/// The levels and fields of each event.
static EVENTS: LazyLock<BTreeMap<String, Row>> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/log-events.md");
    let text = std::fs::read_to_string(path).expect("it is there");
    let cells = text.lines().map(|line| line.split(" | ").collect::<Vec<_>>());
    let rows = cells.filter(|cells| cells.len() == 4 && cells[0].starts_with("| `"));
    rows.map(|cells| {
        let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        (quoted(cells[0]).remove(0), Row { levels: cells[1].to_owned(), fields: quoted(cells[2]) })
    })
    .collect()
});

struct Row {
    levels: String,
    fields: Vec<String>,
}

/// What the document does not say of this line, if it is one of luster's.
pub(crate) fn undocumented_field(line: &Value) -> Option<String> {
    let (object, event, _) = (line.as_object()?, line["event"].as_str()?, line["timestamp"].as_str()?);
    let Some(row) = EVENTS.get(event) else { return Some(format!("event {event}")) };
    let level = line["level"].as_str().unwrap_or_default();
    if !row.levels.split(", ").any(|known| known == level) {
        return Some(format!("{event}: level {level}"));
    }
    let always = ["timestamp", "level", "message", "event", "app"];
    let unknown = object.keys().find(|key| !always.contains(&key.as_str()) && !row.fields.contains(key))?;
    Some(format!("{event}: field {unknown}"))
}
