//! What processes use: one read of /proc each, by the control thread.
//!
//! Invariant: a process that is gone has no usage; it is no error.

use std::fs::File;
use std::io::Read;

use nix::unistd::{SysconfVar, sysconf};

/// What a process has used and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// Processor time, in milliseconds.
    pub(super) cpu_ms: u64,
    /// Resident memory, in bytes.
    pub(super) memory_bytes: u64,
}

/// The units that the kernel counts in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Units {
    ticks_per_second: u64,
    page_bytes: u64,
}

impl Units {
    /// Those of this system.
    pub(super) fn of_system() -> Self {
        let ask = |what, default| {
            let answer = sysconf(what).ok().flatten().and_then(|value| u64::try_from(value).ok());
            answer.filter(|value| *value > 0).unwrap_or(default)
        };
        Self { ticks_per_second: ask(SysconfVar::CLK_TCK, 100), page_bytes: ask(SysconfVar::PAGE_SIZE, 4096) }
    }

    /// What this process uses.
    pub(super) fn usage(self, pid: i32) -> Option<Usage> {
        // Its 52 numbers and a name of 64 bytes need less.
        let mut stat = [0; 1024];
        let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut stat).ok()?;
        self.parse(std::str::from_utf8(&stat[..length]).ok()?)
    }

    /// Fields 14, 15 and 24 of proc(5)'s stat; the name before them may have anything in it.
    fn parse(self, stat: &str) -> Option<Usage> {
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let user: u64 = fields.nth(11)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        let pages: u64 = fields.nth(8)?.parse().ok()?;
        Some(Usage {
            cpu_ms: (user + system).saturating_mul(1000) / self.ticks_per_second,
            memory_bytes: pages.saturating_mul(self.page_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_proc_5_whatever_the_name() {
        let units = Units { ticks_per_second: 100, page_bytes: 4096 };
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 11 0 100 1000000 321 18446744073709551615 1";
        assert_eq!(units.parse(stat), Some(Usage { cpu_ms: 3000, memory_bytes: 321 * 4096 }));
        assert_eq!(units.parse("7 (x) S 1"), None);
    }

    #[test]
    fn this_process_has_a_usage_and_none_has_number_0() {
        let units = Units::of_system();
        let pid = i32::try_from(std::process::id()).expect("a pid");
        assert!(units.usage(pid).is_some_and(|usage| usage.memory_bytes > 0));
        assert_eq!(units.usage(0), None);
    }
}
