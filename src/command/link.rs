//! `luster __link`: hands the channel that Node gave it on through descriptor 4, to the luster that waits there.

use std::os::fd::AsFd;

use crate::cli;
use crate::exit::Exit;
use crate::node::host;
use crate::process;

/// Where `npm/lib/master/link.js` puts the socket.
const SOCKET: i32 = 4;

/// Does it.
pub(super) fn run() -> Exit {
    let handed = process::inherited_channel().zip(process::inherited(SOCKET));
    let handed =
        handed.is_some_and(|(channel, socket)| host::hand_over(channel.as_fd(), socket.as_fd()).is_ok());
    if handed {
        return Exit::Stopped;
    }
    cli::complain("luster: `luster __link` is for luster's own use, by its extension host");
    Exit::Usage
}
