//! Stories told through the built binary, with real Node workers, real sockets and real signals.

mod harness;
mod stories;
