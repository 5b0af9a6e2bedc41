//! Why nothing could be asked, or nothing was answered: one sentence, and the exit code that says the same.

use std::path::PathBuf;

use thiserror::Error;

use crate::exit::Exit;

/// Why a command ends without an answer.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// Nobody runs what was named.
    #[error("{0}")]
    NotRunning(String),
    /// Nobody listens on this socket.
    #[error("no luster listens on {}: {}", .0.display(), .1)]
    NobodyListens(PathBuf, &'static str),
    /// Several do.
    #[error("{0}")]
    SeveralRun(String),
    /// It is somebody else's.
    #[error(
        "{} is not yours to ask: {}; ask as the user luster runs as, as root, or as one of the group that control.group names",
        .0.display(), .1
    )]
    Denied(PathBuf, String),
    /// There are too many who ask.
    #[error("luster at {} has too much to do to answer: {}", .0.display(), .1)]
    Busy(PathBuf, String),
    /// There is somebody, who says nothing.
    #[error("{who} does not answer within {seconds} s")]
    Silent {
        /// Who.
        who: String,
        /// For how long.
        seconds: u64,
    },
    /// It has ended before it answered.
    #[error("luster (pid {pid}) has ended, or has closed the connection, before it answered")]
    Gone {
        /// Its process.
        pid: i32,
    },
    /// What is there is no luster, or one that cannot be understood.
    #[error("what listens on {} is no luster that this one understands: {}", .0.display(), .1)]
    NotUnderstood(PathBuf, String),
    /// The system refuses something.
    #[error("{0}")]
    System(String),
}

impl ClientError {
    /// The exit code.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::NotRunning(_) | Self::NobodyListens(..) | Self::Gone { .. } => Exit::NotRunning,
            Self::SeveralRun(_) => Exit::Usage,
            Self::Denied(..) => Exit::Permission,
            Self::Busy(..) | Self::Silent { .. } => Exit::Busy,
            Self::NotUnderstood(..) | Self::System(_) => Exit::Internal,
        }
    }
}
