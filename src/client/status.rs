//! `luster status`: how everything stands, once or again and again.
//!
//! Invariant: `--json` prints the answer as it came.

use std::time::{Duration, Instant};

use super::connection::Connection;
use super::error::ClientError;
use super::form::Form;
use super::status_text::{Before, render};
use crate::cli;
use crate::exit::Exit;

/// How often it is shown again.
const PERIOD: Duration = Duration::from_secs(1);

/// Whether it is shown again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Once,
    /// Below what was shown before.
    Lines,
    /// In its place.
    Screen,
}

/// Shows it.
pub(super) async fn show(
    mut connection: Connection,
    form: Form,
    repeat: Repeat,
) -> Result<Exit, ClientError> {
    let mut before: Option<Before> = None;
    loop {
        let asked = Instant::now();
        let (status, body) = connection.status().await?;
        let mut text = match (form, repeat) {
            (_, Repeat::Screen) => "\x1b[H\x1b[2J".to_owned(),
            (Form::Text(_), Repeat::Lines) if before.is_some() => "\n".to_owned(),
            (_, Repeat::Once | Repeat::Lines) => String::new(),
        };
        match form {
            Form::Json => text.push_str(&String::from_utf8_lossy(&body)),
            Form::Text(colour) => text.push_str(&render(&status, before.as_ref(), colour)),
        }
        if repeat == Repeat::Once {
            return Ok(cli::print(&text));
        }
        if !cli::is_printed(&text) {
            return Ok(Exit::Stopped);
        }
        tokio::time::sleep(PERIOD).await;
        before = Some(Before { status, ago: asked.elapsed() });
    }
}
