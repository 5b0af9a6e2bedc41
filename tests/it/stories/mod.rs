//! The stories, one file for each thing users rely on.

mod aborted_roll_outs;
mod bad_configurations;
mod channel;
mod channel_faults;
mod coalesced_restarts;
mod config;
mod descriptors;
mod drains;
mod examples;
mod idleness;
mod javascript;
mod left_behind;
mod life;
mod listeners;
mod listening;
mod logging;
mod lost_workers;
mod luster_object;
mod main_module;
mod pid_one;
mod refused_listens;
mod rolling_restarts;
mod signals;
mod startup_faults;
mod stop_faults;
