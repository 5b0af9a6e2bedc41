//! The stories, one file for each thing users rely on.

mod examples;
mod javascript;
