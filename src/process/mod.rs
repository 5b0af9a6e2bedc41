//! Processes: starting, signalling and reaping them.
