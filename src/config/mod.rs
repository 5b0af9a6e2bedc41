//! The configuration: finding it, reading it, checking it, and the settings it means.
//!
//! Stages, each in its own file: `find` (which file) → `read` (what was written: JSON, JSON5, a JavaScript
//! literal, or a module, run by whoever [`Evaluate`]s) → `overrides` (`LUSTER_CONF`) → `check` (every mistake at
//! once, or [`Settings`]). [`load()`] walks them; [`render()`] shows the outcome.
//!
//! Invariants: nothing here starts a process or opens a socket; unknown keys are kept, because apps and extensions
//! read them.

mod app;
mod apps;
mod builtin_extensions;
mod check;
mod error;
mod evaluate;
mod file_kind;
mod find;
mod hints;
mod json5_parser;
mod keys;
mod lexer;
mod literal;
mod load;
mod origin;
mod origins;
mod overrides;
mod pm2;
mod ports;
mod problem;
mod program;
mod raw;
mod read;
mod render;
mod request;
mod server;
mod settings;
mod socket;
mod syntax;
mod text;
mod thrown;
mod validator;

pub use builtin_extensions::{BuiltinOptions, Guard, GuardRestart, LogFile, LogTarget, Telling, Validated};
pub use error::{Error, ModuleFailure, NamedExtensions};
pub use evaluate::{Evaluate, EvaluationError};
pub use find::{find_app, resolve};
pub use literal::Flavour;
pub use load::{Held, Loaded, LoadedFleet, Real, load, locate, validate};
pub use origin::Origin;
pub use origins::Origins;
pub use problem::Problem;
pub use read::SourceFormat;
pub use render::{changed_keys, render};
pub use request::{ConfigRequest, Defaults, EVALUATION_DEADLINE, FindProgram, Links, SIZE_LIMIT};
pub use settings::{Balance, ControlSocket, ProgramSettings, Server, Settings};

// A part of the settings.
pub use crate::core::{MAX_WORKERS, Port};

#[cfg(test)]
mod tests;
