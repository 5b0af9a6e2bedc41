//! The worker's JavaScript and where it is put for Node to load.
//!
//! Its sources are small files in `npm/worker`; `bundle` makes one script of them when luster is compiled, and
//! `place` keeps that script on disk, because Node's `-r` takes a file.

mod bundle;
mod place;

#[cfg(test)]
mod tests;

pub use bundle::SCRIPT;
pub use place::{Error, Places, Preload};
