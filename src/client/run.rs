//! The commands, each from its target to its exit code, on a runtime that is as small as it gets.
//!
//! Invariant: no thread is started, and nothing is set up that the command does not need.

use std::future::Future;
use std::path::PathBuf;

use tokio::runtime::Builder;

use super::error::ClientError;
use super::events as event_lines;
use super::form::{Form, is_screen};
use super::list as masters;
use super::order::{self, Order, Wait};
use super::progress::Where;
use super::status::{self as show, Repeat};
use super::target::Target;
use crate::cli;
use crate::exit::Exit;

/// Whether a status is shown once, or until luster ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    Yes,
    No,
}

/// Shows how everything stands.
pub(crate) fn status(target: &Target, form: Form, watch: Watch) -> Exit {
    let repeat = match (watch, form) {
        (Watch::No, _) => Repeat::Once,
        (Watch::Yes, Form::Text(_)) if is_screen(&std::io::stdout()) => Repeat::Screen,
        (Watch::Yes, Form::Text(_) | Form::Json) => Repeat::Lines,
    };
    conclude(async { show::show(target.find().await?, form, repeat).await })
}

/// Has something done.
pub(crate) fn carry_out(target: &Target, order: &Order, wait: Wait, form: Form) -> Exit {
    let place = match form {
        Form::Json => Where::Nowhere,
        Form::Text(_) if is_screen(&std::io::stderr()) => Where::Terminal,
        Form::Text(_) => Where::Lines,
    };
    conclude(async {
        let connection = target.find().await.map_err(|error| order.explain(error))?;
        order::carry_out(connection, order, wait, form, place).await
    })
}

/// Prints what happens.
pub(crate) fn events(target: &Target, form: Form) -> Exit {
    conclude(async { event_lines::follow(target.find().await?, form).await })
}

/// Lists the masters that run one of these files, or all.
pub(crate) fn list(files: Option<&[PathBuf]>, form: Form) -> Exit {
    conclude(async {
        let found = masters::find(files).await;
        let text = match form {
            Form::Json => masters::json(&found),
            Form::Text(colour) => masters::text(&found, colour),
        };
        if text.is_empty() {
            let what = files.and_then(<[PathBuf]>::first);
            let what = what.map(|file| format!(" {}", file.display())).unwrap_or_default();
            cli::complain(&format!("luster: no luster of this user runs{what}"));
        }
        Ok(cli::print(&text))
    })
}

fn conclude(command: impl Future<Output = Result<Exit, ClientError>>) -> Exit {
    let done = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(ClientError::System(format!("there is no way to wait for an answer: {error}"))),
    };
    done.unwrap_or_else(|error| {
        cli::complain(&format!("luster: {error}"));
        error.exit()
    })
}
