//! The calls that neither std nor nix wraps safely: pidfds, waiting, descriptors by bare number.
//! (Starting a process has its own file, `spawn/sys.rs`.)
//!
//! Invariant: nothing here keeps a descriptor or decides anything; each function is one call, made safe to use.
#![expect(unsafe_code, reason = "system calls without a safe wrapper; each block is justified")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    SockType, SockaddrIn, SockaddrIn6, SockaddrStorage, getsockname, getsockopt, sockopt,
};

use super::{CoreDump, ExitStatus, Pid};

/// Which child to wait for.
#[derive(Clone, Copy)]
pub(super) enum Which {
    Any,
    Only(Pid),
}

/// What to do with the child found.
#[derive(Clone, Copy)]
pub(super) enum Then {
    /// Leave it a zombie, so that its number and its group's stay taken.
    Leave,
    Reap,
}

/// What a wait that does not block found.
pub(super) enum WaitOutcome {
    Dead(Pid, ExitStatus),
    /// There are children, none of them dead.
    Living,
    /// There are no (such) children.
    Nobody,
}

/// Looks for a dead child without blocking.
///
/// Not nix's `waitid`: that fails for a child killed by a real-time signal, after having reaped it.
pub(super) fn wait(which: Which, then: Then) -> Result<WaitOutcome, Errno> {
    let (kind, id) = match which {
        Which::Any => (libc::P_ALL, 0),
        Which::Only(pid) => (libc::P_PID, pid.as_raw().unsigned_abs()),
    };
    let flags = libc::WEXITED
        | libc::WNOHANG
        | match then {
            Then::Leave => libc::WNOWAIT,
            Then::Reap => 0,
        };
    // SAFETY: siginfo_t is a C struct of integers and pointers; all zeroes is a valid value of it.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is a valid place to write to for the duration of the call.
    match Errno::result(unsafe { libc::waitid(kind, id, &raw mut info, flags) }) {
        // A wait that does not block is not interrupted either; should it be, the next signal asks again.
        Err(Errno::EINTR) => return Ok(WaitOutcome::Living),
        Err(Errno::ECHILD) => return Ok(WaitOutcome::Nobody),
        Err(errno) => return Err(errno),
        Ok(_) => {}
    }
    // SAFETY: waitid fills in the child's fields, or leaves the zeroes when no child is dead.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    let Some(pid) = Pid::new(pid) else { return Ok(WaitOutcome::Living) };
    let status = match info.si_code {
        libc::CLD_KILLED => ExitStatus::Signal { number: status, core: CoreDump::None },
        libc::CLD_DUMPED => ExitStatus::Signal { number: status, core: CoreDump::Written },
        _ => ExitStatus::Code(status),
    };
    Ok(WaitOutcome::Dead(pid, status))
}

/// A descriptor that names the process for ever, close-on-exec.
pub(super) fn open_pidfd(pid: nix::unistd::Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes two integers.
    let raw = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    let raw = RawFd::try_from(raw).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just opened it and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Sends a signal to the process behind a pidfd; 0 sends nothing, to see whether the call works.
pub(super) fn signal_through(pidfd: BorrowedFd<'_>, signal: libc::c_int) -> Result<(), Errno> {
    let no_info = ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open, and a null siginfo asks for what kill() would send.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0) };
    Errno::result(sent).map(drop)
}

/// Whether the number names an open descriptor.
pub(super) fn is_open(number: RawFd) -> bool {
    // SAFETY: F_GETFD reads a flag of whatever is there, and fails if nothing is.
    (unsafe { libc::fcntl(number, libc::F_GETFD) }) >= 0
}

/// Whether the number names a socket that clients can reach: one that listens, or takes datagrams from the network.
pub(super) fn awaits_clients(number: RawFd) -> bool {
    if !is_open(number) {
        return false;
    }
    // SAFETY: it is open, and nothing closes it during the call.
    let socket = unsafe { BorrowedFd::borrow_raw(number) };
    match getsockopt(&socket, sockopt::SockType) {
        Ok(SockType::Stream) => getsockopt(&socket, sockopt::AcceptConn) == Ok(true),
        Ok(SockType::Datagram) => getsockname::<SockaddrStorage>(number).is_ok_and(|address| {
            let v4 = address.as_sockaddr_in().map(SockaddrIn::port);
            v4.or_else(|| address.as_sockaddr_in6().map(SockaddrIn6::port)).is_some_and(|port| port != 0)
        }),
        Ok(_) | Err(_) => false,
    }
}

/// Has a descriptor close at exec.
pub(super) fn close_at_exec(number: RawFd) -> Result<(), Errno> {
    // SAFETY: sets a flag that only matters at exec; closes nothing, takes no pointer.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

/// Has every descriptor from this number on close at exec. Linux 5.11; safe between fork and exec.
pub(super) fn close_at_exec_from(first: libc::c_uint) -> Result<(), Errno> {
    // SAFETY: as `close_at_exec`, for a range.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Errno::result(done).map(drop)
}

/// Closes every descriptor from this number on. Linux 5.9; for a process that is about to exec, and owns none of them.
pub(super) fn close_from(first: libc::c_uint) -> Result<(), Errno> {
    // SAFETY: the caller's process has forgotten them; nothing will use or close them again.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    Errno::result(done).map(drop)
}

/// Lets this process learn how its children end: whoever started it may have had them ignored (`SIG_IGN` survives exec),
/// and the kernel then reaps them itself.
pub(super) fn heed_children() {
    // SAFETY: replaces a disposition by the default; no handler is involved. It fails only for bad signal numbers.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Whether somebody else hears signals that ask this process to end.
static HEARD: AtomicBool = AtomicBool::new(false);

/// Ends this process at these signals, as everywhere but in PID 1 the kernel does, until [`stops_are_heard`].
pub(super) fn end_at(signals: &[libc::c_int]) {
    extern "C" fn end(number: libc::c_int) {
        if !HEARD.load(Ordering::Relaxed) {
            // SAFETY: it is async-signal-safe, and nothing of this process is to run any more.
            unsafe { libc::_exit(128 + number) };
        }
    }
    for signal in signals {
        // SAFETY: the handler calls nothing but what is async-signal-safe. It fails only for bad signal numbers.
        unsafe { libc::signal(*signal, end as *const () as libc::sighandler_t) };
    }
}

/// From now on the handlers of [`end_at`], which whoever listens later calls first, do nothing.
pub(super) fn stops_are_heard() {
    HEARD.store(true, Ordering::Relaxed);
}

/// Lets this process write to its terminal from the background, even if that is set to `tostop`.
pub(super) fn ignore_terminal_output_stop() {
    // SAFETY: replaces a disposition by "ignore"; no handler is involved. It fails only for bad signal numbers.
    unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
}

/// Whether hang-ups are ignored, as `nohup` arranges it.
pub(super) fn ignores_hang_up() -> bool {
    // SAFETY: sigaction is a C struct of integers and a nullable function address; zeroes are valid.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null new action only asks; `now` is a valid place for the answer.
    let asked = unsafe { libc::sigaction(libc::SIGHUP, ptr::null(), &raw mut now) };
    asked == 0 && now.sa_sigaction == libc::SIG_IGN
}

/// A duplicate of the descriptor with this number, closing at exec.
pub(super) fn duplicate_at_exec_closed(number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: makes a new descriptor; fails if nothing is behind the number.
    let raw = Errno::result(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: it was just made, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Owns a descriptor that was inherited.
pub(super) fn take_inherited(number: RawFd) -> OwnedFd {
    // SAFETY: it was open before anything of ours was, so nothing of ours owns it; whoever asks has found it, and asks once.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Closes a descriptor that nobody owns.
pub(super) fn close(number: RawFd) {
    // SAFETY: the caller has just found out that it was inherited, so nothing of ours owns it.
    unsafe { libc::close(number) };
}

/// Returns the heap's free memory to the kernel, as far as the C library knows how.
pub(super) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it touches only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has the kernel forget that this program's own code and constants are in memory: what is needed is mapped again.
pub(super) fn forget_program_pages() {
    /// Of the first object, which is the program itself.
    unsafe extern "C" fn forget(
        object: *mut libc::dl_phdr_info,
        _: libc::size_t,
        _: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the linker hands over a description that is whole and lives as long as this call.
        let object = unsafe { &*object };
        // SAFETY: it says how many headers there are.
        let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
        for header in headers {
            // What can be written, or could when it was relocated, is not as it is in the file.
            let is_pristine = header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0;
            let (Ok(begin), Ok(length)) =
                (usize::try_from(object.dlpi_addr + header.p_vaddr), usize::try_from(header.p_memsz))
            else {
                continue;
            };
            // SAFETY: it only asks.
            let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096).max(1);
            let aligned = begin / page * page;
            if is_pristine {
                // SAFETY: these pages are mapped from the program's file and never written: dropped from memory they are read
                // from the file again, with the same content.
                unsafe {
                    libc::madvise(aligned as *mut libc::c_void, begin - aligned + length, libc::MADV_DONTNEED)
                };
            }
        }
        // Other objects are shared with other processes.
        1
    }
    // SAFETY: the function is called with what it expects, and does not unwind.
    unsafe { libc::dl_iterate_phdr(Some(forget), ptr::null_mut()) };
}
