//! The JavaScript that luster brings along, and where it is put for Node to load.
//!
//! Its sources are small files in `npm/lib`; `build.rs` makes one script of them for each purpose, and `place` keeps that
//! on disk, because Node takes files. `flags` knows which of Node's own flags concern it.

mod flags;
mod place;
mod script;

#[cfg(test)]
mod tests;

pub use flags::{NodeFlags, readable_arg};
pub use place::{Error, FileIdentity, Placed, Places};
pub use script::Script;
