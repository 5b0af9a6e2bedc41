//! What goes in and out of the room besides bytes: the ways to balance, the news, and the outcomes.
//!
//! Invariant: every item of news names the instance it is about, and none about an instance follows its detachment.

use std::io;
use std::os::fd::RawFd;

use serde_json::value::RawValue;

use crate::core::{Closing, Endpoint, InstanceId};
use crate::listen::Site;
use crate::node::cluster::bind_request::BindRequest;
use crate::node::ipc::{ProtocolError, UserHandle};

/// How new connections find a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// We accept, and hand each connection to the worker that has been free the longest.
    RoundRobin,
    /// All workers accept from one socket.
    Shared,
    /// Each slot has a socket of its own on the port; the kernel picks one at random. TCP only: the rest is shared.
    Reuseport,
}

/// What is in the way of a listen, as far as this room knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Nothing that is known here.
    Unknown,
    /// The worker itself listens there already.
    Itself(Endpoint),
    /// Others of the fleet do, or their successors are awaited there.
    Fleet(Endpoint),
    /// Somebody outside, who can be looked for there.
    Somebody(Site),
    /// The number is none of these, which luster was started with.
    NotInherited(Vec<RawFd>),
}

/// What a worker did.
#[derive(Debug)]
pub enum News {
    /// Its Node has started.
    Online {
        /// Whose.
        instance: InstanceId,
    },
    /// It listens.
    Listening {
        /// Who.
        instance: InstanceId,
        /// On what.
        endpoint: Endpoint,
        /// The same as Node's `listening` event has it: an object with `addressType`, `address` and `port`.
        address: Box<RawValue>,
    },
    /// It closed a server while its channel stayed open.
    Closed {
        /// Who.
        instance: InstanceId,
        /// Which.
        endpoint: Endpoint,
        /// Whether it meant that.
        closing: Closing,
    },
    /// What it asked for cannot be listened on; it has been told.
    BindFailed {
        /// Who asked.
        instance: InstanceId,
        /// For what.
        endpoint: Endpoint,
        /// Why not.
        error: io::Error,
        /// What is in the way.
        obstacle: Obstacle,
    },
    /// It wants to listen, and has to wait until it is known whether that is possible.
    Asks {
        /// Who.
        instance: InstanceId,
        /// On what.
        endpoint: Endpoint,
    },
    /// It wants to listen where we may not: it may be able to bind that itself, and is to be asked.
    MayBind {
        /// Who.
        instance: InstanceId,
        /// What to ask for.
        request: BindRequest,
    },
    /// It sent a message of the application's.
    Said {
        /// Who.
        instance: InstanceId,
        /// What, as it was written.
        message: Box<RawValue>,
        /// The socket sent along. Dropping it closes it.
        handle: Option<UserHandle>,
    },
    /// It announced that it leaves on its own will. It has been acknowledged where the protocol allows that.
    Leaving {
        /// Who.
        instance: InstanceId,
    },
    /// It closed its channel. All it had written before was reported first.
    Left {
        /// Who.
        instance: InstanceId,
    },
    /// It broke the protocol. Nothing more is heard from it.
    Broken {
        /// Who.
        instance: InstanceId,
        /// How.
        reason: ProtocolError,
    },
    /// It cannot receive descriptors (its limit, or a jammed queue): it keeps losing the connections it is offered.
    Refusing {
        /// Who.
        instance: InstanceId,
    },
    /// It writes more than is read from one worker; it is slowed down. At most once a minute.
    Flooding {
        /// Who.
        instance: InstanceId,
    },
}
