//! Which system calls of the master fail, and how.

/// Calls, and what each may fail with.
pub(crate) const FAILURES: &[(&str, &[&str])] = &[
    ("clone,clone3,fork,vfork", &["EAGAIN", "ENOMEM"]),
    ("socketpair", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("sendmsg", &["ENOMEM", "ENOBUFS", "EINTR"]),
    ("recvmsg", &["ENOMEM", "EINTR"]),
    ("accept4", &["EMFILE", "ENFILE", "ENOMEM", "EINTR", "ECONNABORTED"]),
    ("epoll_ctl", &["ENOMEM", "ENOSPC"]),
    ("pidfd_open", &["EMFILE", "ENOMEM"]),
    ("openat", &["EMFILE", "ENFILE", "ENOMEM", "EINTR"]),
    ("pipe2", &["EMFILE", "ENFILE"]),
    ("socket,bind,listen", &["EMFILE", "ENOBUFS", "ENOMEM"]),
];
