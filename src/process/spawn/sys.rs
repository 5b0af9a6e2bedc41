//! The fork, and the new process's few steps until it becomes the program.
//!
//! Not `std::process::Command`: that unblocks signals while the master's handlers are still in place (a SIGTERM
//! then would be told to the master, through its handler's pipe that both share, and lost to the worker), it keeps
//! the ignored signals luster was started with, and it gives no pipe by which to see whether the master is alive.
//!
//! Invariants: between fork and exec only async-signal-safe calls are made, nothing is allocated and nothing can
//! panic; nothing there waits for a file system before all of the master's descriptors are closed, so that one that hangs
//! keeps nobody's connection, socket or channel open.
#![expect(unsafe_code, reason = "fork and exec, and what comes between them")]

use std::convert::Infallible;
use std::ffi::{CString, c_char};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{ForkResult, fork};

use super::error::{Failure, StartStep};
use super::identity::Identity;
use super::needed::Needed;
use crate::process::{Child, DescriptorLimit, Pid, registry, sys};

/// What the process is to become.
pub(super) struct Image {
    pub(super) program: CString,
    pub(super) args: Vec<CString>,
    pub(super) env: Vec<CString>,
    pub(super) folder: Option<CString>,
    pub(super) needed: Option<(CString, Needed)>,
    /// One more variable, in which the new process writes its own number: `NAME=`.
    pub(super) own_pid: Option<Vec<u8>>,
}

/// What the digits of a process's number and the closing zero take at most.
const OWN_PID_ROOM: usize = 11;

/// A start with everything opened and allocated.
pub(super) struct PreparedStart<'a> {
    pub(super) image: &'a Image,
    /// Open descriptors, and the numbers they get; those below that are not named are inherited.
    pub(super) placements: Vec<(RawFd, RawFd)>,
    pub(super) limit: DescriptorLimit,
    pub(super) isolation: Isolation,
    pub(super) identity: Identity,
}

/// What a worker is the leader of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolation {
    /// A process group in the master's session: the kernel shares the processor out by session (autogroup), and
    /// workers with sessions of their own would change the machine's balance.
    Group,
    /// A session, away from a terminal that would stop background groups for writing to it (`stty tostop`).
    /// (Ignoring SIGTTOU would not do: Node resets it.)
    Session,
}

/// Forks the process; answers with it and with the pipe that tells what becomes of it.
pub(super) fn start(mut plan: PreparedStart<'_>) -> Result<(Child, OwnedFd), Failure> {
    let args = pointers(&plan.image.args, None);
    let mut own_pid = plan.image.own_pid.clone();
    let own_pid = own_pid.as_mut().map(OwnPid::of);
    let env = pointers(&plan.image.env, own_pid);
    let flags = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let (answer, report) = nix::unistd::pipe2(flags).map_err(StartStep::Open.failed())?;
    // From here until it is entered nobody else may reap it.
    let mut registry = registry::lock();
    // Until the new process has dropped the master's handlers no signal may reach it.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(StartStep::Fork.failed())?;
    // SAFETY: the new process makes async-signal-safe calls only (see `become_program`) and never returns.
    let forked = unsafe { fork() };
    if let Ok(ForkResult::Child) = forked {
        if let Some(own_pid) = own_pid {
            own_pid.write();
        }
        become_program(&mut plan, &args, &env, answer.as_raw_fd(), report.as_raw_fd());
    }
    // Setting a mask that was in force before cannot fail.
    let _ = mask.thread_set_mask();
    match forked.map_err(StartStep::Fork.failed())? {
        ForkResult::Child => unreachable!("the new process never comes here"),
        ForkResult::Parent { child } => {
            drop(report);
            let pid =
                Pid::new(child.as_raw()).ok_or(Failure { step: StartStep::Fork, errno: Errno::EINVAL })?;
            let fate = registry.enter(pid);
            // Not reaped yet, so the number is still its own; who reaps next finds it dead.
            let pidfd = sys::open_pidfd(child).map_err(StartStep::Pidfd.failed()).inspect_err(|_| {
                let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
            })?;
            Ok((Child::new(pid, pidfd, fate), answer))
        }
    }
}

fn pointers(strings: &[CString], own_pid: Option<OwnPid>) -> Vec<*const c_char> {
    let own_pid = own_pid.map(|variable| variable.start.cast_const().cast());
    strings.iter().map(|string| string.as_ptr()).chain(own_pid).chain([ptr::null()]).collect()
}

/// A variable that the new process completes with its own number. Valid as long as the bytes it was made of.
#[derive(Clone, Copy)]
struct OwnPid {
    start: *mut u8,
    /// Where the digits go, of which there is room for [`OWN_PID_ROOM`] with the closing zero.
    digits: usize,
}

impl OwnPid {
    fn of(variable: &mut Vec<u8>) -> Self {
        let digits = variable.len();
        variable.resize(digits + OWN_PID_ROOM, 0);
        Self { start: variable.as_mut_ptr(), digits }
    }

    /// In the new process: writes its number.
    fn write(self) {
        // SAFETY: takes nothing, and cannot fail.
        let mut rest = unsafe { libc::getpid() }.unsigned_abs();
        let mut length = 1;
        let mut power = 1;
        while rest / power >= 10 {
            (power, length) = (power * 10, length + 1);
        }
        for place in (0..length).rev() {
            let digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            // SAFETY: at most ten digits go into the room for eleven bytes behind the name; this process is a copy of the
            // one that owns them.
            unsafe { self.start.add(self.digits + place).write(digit) };
        }
    }
}

/// In the new process: becomes the program, or reports why not and ends.
fn become_program(
    plan: &mut PreparedStart<'_>,
    args: &[*const c_char],
    env: &[*const c_char],
    answer: RawFd,
    mut report: RawFd,
) -> ! {
    let Err(failure) = try_become(plan, args, env, answer, &mut report);
    let bytes = failure.to_bytes();
    // SAFETY: writes from a buffer of this size to our own end of the pipe, then leaves without running anything
    // of the master's (no destructors, no atexit).
    unsafe {
        libc::write(report, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(127);
    }
}

fn try_become(
    plan: &mut PreparedStart<'_>,
    args: &[*const c_char],
    env: &[*const c_char],
    answer: RawFd,
    report: &mut RawFd,
) -> Result<Infallible, Failure> {
    // SAFETY: this process's copy of the master's end, used by nobody here.
    unsafe { libc::close(answer) };
    forget_dispositions();
    part(plan.isolation)?;
    let last = place_all(&mut plan.placements, report).map_err(StartStep::Descriptors.failed())?;
    close_others(last, report).map_err(StartStep::Descriptors.failed())?;
    if let Some((path, needed)) = &plan.image.needed {
        look_at(path, needed).map_err(StartStep::Needed.failed())?;
    }
    become_identity(plan.identity).map_err(StartStep::Identity.failed())?;
    // After a change of user, which takes the signal away again.
    die_with_master(*report)?;
    if let Some(folder) = &plan.image.folder {
        // SAFETY: a null-terminated path that outlives the call.
        Errno::result(unsafe { libc::chdir(folder.as_ptr()) }).map_err(StartStep::Folder.failed())?;
    }
    setrlimit(Resource::RLIMIT_NOFILE, plan.limit.soft, plan.limit.hard)
        .map_err(StartStep::Limit.failed())?;
    SigSet::empty().thread_set_mask().map_err(StartStep::Exec.failed())?;
    // SAFETY: the path and both arrays are null-terminated and outlive the call; this process is a copy of the
    // one that made them.
    unsafe { libc::execve(plan.image.program.as_ptr(), args.as_ptr(), env.as_ptr()) };
    Err(Failure { step: StartStep::Exec, errno: Errno::last() })
}

/// Either makes a group of its own, so that the terminal's Ctrl-C reaches the master only.
fn part(isolation: Isolation) -> Result<(), Failure> {
    let ourselves = nix::unistd::Pid::from_raw(0);
    match isolation {
        Isolation::Group => nix::unistd::setpgid(ourselves, ourselves),
        Isolation::Session => nix::unistd::setsid().map(drop),
    }
    .map_err(StartStep::Group.failed())
}

/// Asks for SIGKILL when the master dies, and dies at once if it is dead already.
///
/// The master holds the pipe's only reading end, which the kernel closes before it sends death signals: if the end
/// is still there now, the signal will come. Comparing `getppid` would say the same except across pid namespaces.
fn die_with_master(report: RawFd) -> Result<(), Failure> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(StartStep::DeathSignal.failed())?;
    let mut pipe = libc::pollfd { fd: report, events: 0, revents: 0 };
    // SAFETY: one valid entry, and no waiting.
    let ready = unsafe { libc::poll(&raw mut pipe, 1, 0) };
    if ready > 0 && pipe.revents & libc::POLLERR != 0 {
        // SAFETY: ends this process; nobody is left to be told.
        unsafe { libc::_exit(127) };
    }
    Ok(())
}

/// Ignored signals survive exec; those that luster or its starter ignores (SIGPIPE, `nohup`'s SIGHUP, SIGINT of a
/// shell's background job) are not the worker's business.
fn forget_dispositions() {
    // SAFETY: sigaction is a C struct of integers and a nullable function address; zeroes mean SIG_DFL.
    let default: libc::sigaction = unsafe { std::mem::zeroed() };
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: `default` is valid. SIGKILL, SIGSTOP and libc's own two refuse, which is as well: none of them
        // can be ignored.
        unsafe { libc::sigaction(number, &raw const default, ptr::null_mut()) };
    }
}

/// Puts all descriptors where they belong; answers with the highest number used. The report's number gives way.
fn place_all(placements: &mut [(RawFd, RawFd)], report: &mut RawFd) -> Result<RawFd, Errno> {
    let last = placements.iter().map(|(_, to)| *to).max().unwrap_or(2).max(2);
    // First those out of the way whose place another one takes.
    for (from, to) in placements.iter_mut() {
        if *from <= last && from != to {
            *from = lift(*from, last + 1)?;
        }
    }
    if *report <= last {
        *report = lift(*report, last + 1)?;
    }
    for (from, to) in placements.iter() {
        place(*from, *to)?;
    }
    Ok(last)
}

/// Closes all of the master's descriptors but those that have been placed, and the report, which goes behind them.
fn close_others(last: RawFd, report: &mut RawFd) -> Result<(), Errno> {
    let behind = last + 1;
    if *report != behind {
        // SAFETY: replaces a descriptor that is to be closed anyway.
        Errno::result(unsafe { libc::dup3(*report, behind, libc::O_CLOEXEC) })?;
        *report = behind;
    }
    let first = behind.unsigned_abs() + 1;
    if sys::close_from(first).is_err() {
        // Older than 5.9, or filtered. They are close-on-exec by birth, but for those of libraries that forget (5.11).
        let _ = sys::close_at_exec_from(first);
    }
    Ok(())
}

/// A duplicate of a descriptor, from this number on.
fn lift(descriptor: RawFd, from: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: makes a new descriptor in this process; the old one stays.
    Errno::result(unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, from) })
}

/// Whether a file is what it was.
fn look_at(path: &CString, needed: &Needed) -> Result<(), Errno> {
    // SAFETY: stat is a C struct of integers; all zeroes is a valid value of it.
    let mut now: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: a null-terminated path, and a valid place for the answer.
    Errno::result(unsafe { libc::lstat(path.as_ptr(), &raw mut now) })?;
    let size = u64::try_from(now.st_size).unwrap_or(0);
    let is_same = (now.st_dev, now.st_ino, size) == (needed.device, needed.inode, needed.size)
        && (now.st_ctime, now.st_ctime_nsec) == needed.changed;
    if is_same { Ok(()) } else { Err(Errno::ESTALE) }
}

/// Takes on other rights; as libuv does it, without the master's further groups.
fn become_identity(identity: Identity) -> Result<(), Errno> {
    if identity == Identity::default() {
        return Ok(());
    }
    // SAFETY: no group is read from the null pointer. It fails for those without privileges, who keep their groups.
    unsafe { libc::setgroups(0, ptr::null()) };
    if let Some(group) = identity.group {
        // SAFETY: takes a number; the raw call, because libc's would look for other threads.
        Errno::result(unsafe { libc::syscall(libc::SYS_setgid, group) })?;
    }
    if let Some(user) = identity.user {
        // SAFETY: as above.
        Errno::result(unsafe { libc::syscall(libc::SYS_setuid, user) })?;
    }
    Ok(())
}

/// Puts an open descriptor at a number, to be kept at exec.
fn place(from: RawFd, to: RawFd) -> Result<(), Errno> {
    let placed = if from == to {
        // dup2 would leave close-on-exec as it is.
        // SAFETY: clears a flag of a descriptor that stays open.
        unsafe { libc::fcntl(to, libc::F_SETFD, 0) }
    } else {
        // SAFETY: what `to` names in this process is either being replaced on purpose or closes at exec anyway.
        unsafe { libc::dup2(from, to) }
    };
    Errno::result(placed).map(drop)
}
