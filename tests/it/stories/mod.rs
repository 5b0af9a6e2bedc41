//! The stories, one file for each thing users rely on.

mod bad_configurations;
mod channel;
mod channel_faults;
mod config;
mod descriptors;
mod examples;
mod idleness;
mod javascript;
mod left_behind;
mod life;
mod listening;
mod logging;
mod luster_object;
mod main_module;
mod pid_one;
mod refused_listens;
mod signals;
mod startup_faults;
mod stop_faults;
