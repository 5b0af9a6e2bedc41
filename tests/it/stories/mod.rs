//! The stories, one file for each thing users rely on.

mod channel;
mod config;
mod examples;
mod javascript;
mod life;
mod listening;
mod luster_object;
mod main_module;
