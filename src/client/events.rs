//! `luster events`: what a master's log says from now on.
//!
//! Invariants: a line has a limit; one who says nothing for long is taken for gone.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;

use super::connection::{Connection, next_part};
use super::error::ClientError;
use super::form::{Colour, Form, GREEN, RED, YELLOW};
use super::table::painted;
use super::words::plain_lines;
use crate::cli;
use crate::control::schema::Lost;
use crate::exit::Exit;

/// The longest line.
const LONGEST_LINE: usize = 4 << 20;

/// How long nothing may come. A sign of life comes every 15 s.
const SILENCE: Duration = Duration::from_secs(60);

/// Prints what happens until luster ends.
pub(super) async fn follow(mut connection: Connection, form: Form) -> Result<Exit, ClientError> {
    let mut body = connection.stream("/v1/events").await?;
    let mut lines = Lines::default();
    loop {
        let part = match timeout(SILENCE, next_part(&mut body)).await {
            Err(_) => {
                let who = format!("luster (pid {})", connection.pid);
                return Err(ClientError::Silent { who, seconds: SILENCE.as_secs() });
            }
            Ok(None) => return Ok(ended(&connection)),
            // Killed, it could not end the answer.
            Ok(Some(Err(_))) => return Err(ClientError::Gone { pid: connection.pid }),
            Ok(Some(Ok(part))) => part,
        };
        let mut text = String::new();
        for event in lines.feed(&part) {
            text.push_str(&shown(&event, form));
        }
        if lines.rest.len() > LONGEST_LINE {
            let why = format!("an event is longer than {} MiB", LONGEST_LINE >> 20);
            return Err(ClientError::NotUnderstood(connection.socket.clone(), why));
        }
        if !text.is_empty() && !cli::is_printed(&text) {
            return Ok(Exit::Stopped);
        }
    }
}

fn ended(connection: &Connection) -> Exit {
    cli::complain(&format!("luster (pid {}) has ended", connection.pid));
    Exit::Stopped
}

/// An event: its name, and its data.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    name: String,
    data: String,
}

/// Makes events of what comes; see <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
#[derive(Debug, Default)]
struct Lines {
    /// The beginning of a line.
    rest: Vec<u8>,
    name: String,
    data: Vec<String>,
}

impl Lines {
    fn feed(&mut self, part: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for piece in part.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                events.extend(self.line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])));
            }
        }
        events
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            return (!data.is_empty()).then(|| Event { name, data: data.join("\n") });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => self.data.push(value.to_owned()),
            // A comment, which is a sign of life, or a field of a later version.
            _ => {}
        }
        None
    }
}

/// A line of the log, as far as people see it.
#[derive(Debug, Deserialize)]
struct Logged {
    #[serde(default)]
    timestamp: String,
    #[serde(default)]
    level: String,
    #[serde(default)]
    message: String,
}

fn shown(event: &Event, form: Form) -> String {
    let colour = match form {
        Form::Json => return format!("{}\n", event.data),
        Form::Text(colour) => colour,
    };
    if event.name == "lost"
        && let Ok(Lost { lost, .. }) = serde_json::from_str(&event.data)
    {
        return format!("({lost} events are missing here: they came faster than they were read)\n");
    }
    match serde_json::from_str::<Logged>(&event.data) {
        Ok(Logged { timestamp, level, message }) => {
            let level = painted(&format!("{level:>5}"), level_colour(&level, colour));
            format!("{timestamp} {level} {}\n", plain_lines(&message))
        }
        Err(_) => format!("{}\n", plain_lines(&event.data)),
    }
}

fn level_colour(level: &str, colour: Colour) -> Option<&'static str> {
    match level {
        "ERROR" => colour.of(RED),
        "WARN" => colour.of(YELLOW),
        "INFO" => colour.of(GREEN),
        _ => colour.of("2"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = b": hello\n\nevent: ready\ndata: {\"message\":\"w\"}\n\n:\n\nevent: lost\r\ndata: {\"schema\":1,\"lost\":3}\r\n\r\n";
        let event = |name: &str, data: &str| Event { name: name.to_owned(), data: data.to_owned() };
        let expected = [event("ready", "{\"message\":\"w\"}"), event("lost", "{\"schema\":1,\"lost\":3}")];
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let events: Vec<_> = text.chunks(size).flat_map(|part| lines.feed(part)).collect();
            assert_eq!(events, expected, "{size}");
        }
    }

    #[test]
    fn people_see_time_level_and_sentence_and_programs_the_object() {
        let data = r#"{"timestamp":"T","level":"WARN","message":"worker 1 \u001b[2J","event":"x"}"#;
        let event = Event { name: "x".to_owned(), data: data.to_owned() };
        assert_eq!(shown(&event, Form::Text(Colour::No)), "T  WARN worker 1 ?[2J\n");
        assert_eq!(shown(&event, Form::Text(Colour::Yes)), "T \x1b[33m WARN\x1b[0m worker 1 ?[2J\n");
        assert_eq!(shown(&event, Form::Json), format!("{data}\n"));
        let lost = Event { name: "lost".to_owned(), data: r#"{"schema":1,"lost":3}"#.to_owned() };
        assert!(shown(&lost, Form::Text(Colour::No)).starts_with("(3 events"));
    }
}
