//! What the master finds at its start and must not trust: descriptors, the signal mask, the kernel's age.
//!
//! Invariant: after [`sanitize_inherited`], 0, 1 and 2 are open, so no socket can ever land where a library prints, and
//! every other descriptor closes at exec, so nothing that our parent left open reaches a worker.

use std::io;
use std::os::fd::{AsFd, IntoRawFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::Mode;
use thiserror::Error;

use super::{Pid, activated, sys};

/// Why luster cannot run here at all.
#[derive(Debug, Error)]
pub enum StartError {
    /// No `pidfd_open`.
    #[error(
        "luster needs Linux 5.3 or newer, with pidfd_open and pidfd_send_signal: {source}; \
         update the kernel or allow both calls in the container's seccomp profile"
    )]
    NoPidfd {
        /// What the kernel said.
        source: io::Error,
    },
    /// A descriptor could not be secured.
    #[error("cannot secure the descriptors luster was started with: {source}")]
    Descriptors {
        /// What the kernel said.
        source: io::Error,
    },
    /// The signal mask could not be cleared.
    #[error("cannot clear the signal mask luster was started with: {source}")]
    Mask {
        /// What the kernel said.
        source: io::Error,
    },
}

/// Makes a clean master of this process. Called once, first of all, before other threads or descriptors.
///
/// # Errors
/// The kernel lacks something luster cannot do without.
pub fn sanitize_inherited() -> Result<(), StartError> {
    check_pidfd().map_err(|errno| StartError::NoPidfd { source: errno.into() })?;
    fill_standard_descriptors().map_err(|source| StartError::Descriptors { source })?;
    activated::find();
    close_others_at_exec().map_err(|source| StartError::Descriptors { source })?;
    // A starter that blocks signals and forgets to unblock them would leave us deaf to SIGTERM and SIGCHLD.
    SigSet::empty().thread_set_mask().map_err(|errno| StartError::Mask { source: errno.into() })?;
    // A starter that ignores SIGCHLD has its children ignore it too: all ours would be gone without a word.
    sys::heed_children();
    // A master in the background must not be stopped for logging to a terminal set to `tostop`.
    sys::ignore_terminal_output_stop();
    Ok(())
}

/// Has this process lead a group of its own: what a terminal sends to its whole foreground group is then not for us.
pub fn leave_group() {
    // It fails for the leader of a session, which has a group of its own already.
    let _ = nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0));
}

/// Ends with this parent, as if what kills it had killed us. Says whether it still is our parent.
pub fn die_with_parent(parent: Pid) -> bool {
    // In this order: one that is gone before the call is seen after it.
    let _ = set_pdeathsig(Signal::SIGKILL);
    nix::unistd::getppid() == parent.for_nix()
}

/// Tries the calls themselves: the version number says nothing of seccomp filters.
fn check_pidfd() -> Result<(), Errno> {
    let ourselves = sys::open_pidfd(nix::unistd::Pid::this())?;
    sys::signal_through(ourselves.as_fd(), 0)
}

fn fill_standard_descriptors() -> io::Result<()> {
    for standard in 0..=2 {
        // In this order the lowest free number, which open takes, is the missing one.
        if !sys::is_open(standard) {
            // No CLOEXEC, and never closed: from here on it is this process's and its workers' descriptor.
            let _ = nix::fcntl::open("/dev/null", OFlag::O_RDWR, Mode::empty())?.into_raw_fd();
        }
    }
    Ok(())
}

fn close_others_at_exec() -> io::Result<()> {
    match sys::close_at_exec_from(3) {
        Ok(()) => Ok(()),
        // Older than 5.11, or filtered.
        Err(_) => close_listed_at_exec(),
    }
}

fn close_listed_at_exec() -> io::Result<()> {
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number >= 3)
        .collect();
    for number in open {
        match sys::close_at_exec(number) {
            // The listing's own descriptor is gone by now.
            Ok(()) | Err(Errno::EBADF) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::{check_pidfd, close_listed_at_exec};

    #[test]
    fn this_kernel_has_pidfds() {
        check_pidfd().unwrap();
    }

    #[test]
    fn the_walk_closes_an_open_descriptor_at_exec() {
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        close_listed_at_exec().unwrap();
        let flags = nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags, nix::libc::FD_CLOEXEC, "descriptor {}", reader.as_raw_fd());
    }
}
