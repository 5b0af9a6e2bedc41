//! Memory that was needed once: to start, to read a configuration, to answer. It is given back when there is quiet.
//!
//! Invariant: nothing that is given back is lost: the program's own pages are read again where they are needed, and of the heap
//! only what is free goes.

use super::sys;

/// Gives back what is not needed at rest. It costs some page faults later, so it is for once in a while.
pub fn give_back() {
    sys::trim_heap();
    sys::forget_program_pages();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resident pages of files, and all, in KiB.
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    #[test]
    fn the_programs_pages_are_given_back_and_it_goes_on() {
        let before = resident();
        give_back();
        let after = resident();
        assert!(after < before, "{after} KiB of {before}");
    }
}
