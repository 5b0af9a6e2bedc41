//! What a process has shown of itself, whatever is decided about it: who watches is told just that, once.
//!
//! Invariant: it only ever moves on: one that has been online stays so, a channel that was closed is not opened again.

use serde::{Deserialize, Serialize};

use super::event::Audience;

/// How far a process has come by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Startup {
    /// Its Node is not up.
    Launching,
    /// Its Node is up.
    Online,
    /// It calls itself ready.
    SaidReady,
}

/// Whether a process's channel is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelState {
    /// It is.
    Open,
    /// It is, and will be closed: the process was told to leave, or has said that it will.
    Leaving,
    /// It is closed, in this way.
    Closed(Departure),
}

/// How a process closed its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Departure {
    /// It was told to, or had said that it would.
    Announced,
    /// Without a word, as at the end of a process.
    Unannounced,
}

/// What has been seen of a process.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Observed {
    pub(super) startup: Startup,
    pub(super) channel: ChannelState,
}

/// Whether something is new to who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum News {
    Yes,
    No,
}

impl Observed {
    /// Nothing.
    pub(super) const NOTHING: Self = Self { startup: Startup::Launching, channel: ChannelState::Open };

    pub(super) fn comes_online(&mut self) {
        self.startup = self.startup.max(Startup::Online);
    }

    /// It calls itself ready.
    pub(super) const fn says_ready(&mut self, audience: Audience) -> News {
        match (std::mem::replace(&mut self.startup, Startup::SaidReady), audience) {
            (Startup::Launching | Startup::Online, Audience::Luster) => News::Yes,
            (Startup::Launching | Startup::Online, Audience::HostToo) | (Startup::SaidReady, _) => News::No,
        }
    }

    /// It was told to leave, or says that it will.
    pub(super) const fn leaves(&mut self) {
        match self.channel {
            ChannelState::Open => self.channel = ChannelState::Leaving,
            ChannelState::Leaving | ChannelState::Closed(_) => {}
        }
    }

    /// Its channel is closed; says how, if that is new.
    pub(super) const fn closes_channel(&mut self) -> Option<Departure> {
        let departure = match self.channel {
            ChannelState::Open => Departure::Unannounced,
            ChannelState::Leaving => Departure::Announced,
            ChannelState::Closed(_) => return None,
        };
        self.channel = ChannelState::Closed(departure);
        Some(departure)
    }
}
