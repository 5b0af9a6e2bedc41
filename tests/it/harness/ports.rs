//! Ports nobody listens on. Handed out once per test process, from a range below the ephemeral ports.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A free port.
pub(crate) fn free_port() -> u16 {
    free_ports(1)
}

/// The first of `count` adjacent free ports.
pub(crate) fn free_ports(count: u16) -> u16 {
    let base = 12_000 + u16::try_from(std::process::id() % 1_000).expect("small") * 16;
    loop {
        let first = base + NEXT.fetch_add(count, Ordering::Relaxed) % 4_000;
        let free = |port: u16| {
            TcpListener::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("::", port)).is_ok()
        };
        if (first..first + count).all(free) {
            return first;
        }
    }
}
