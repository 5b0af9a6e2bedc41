//! One end of a channel over a real socket pair and a real epoll instance; time is the test's.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::os::unix::net::UnixStream;

use nix::sys::epoll::{EpollCreateFlags, EpollTimeout};
use nix::sys::eventfd::EfdFlags;

use super::*;
use crate::node::ipc::channel::pair;
use crate::node::ipc::send_queue::SEND_QUEUE_LIMIT;
use crate::node::ipc::{MAX_FRAME, sys};

const NOW: Moment = Moment(1_000_000);
/// So long that a peer of it may write some 400 messages at once.
const SHORT: usize = 64 << 10;

struct Stage {
    epoll: Epoll,
    peer: Peer<u32>,
    far: UnixStream,
    now: Moment,
}

/// What one turn brought, and how it ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Over(Flow),
    End,
    Broken(ProtocolError),
}

impl Stage {
    fn new(max_frame: usize) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let close_notify = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap());
        let (ours, theirs) = pair().unwrap();
        let peer = Peer::attach(ours, &epoll, 7, max_frame, close_notify).unwrap();
        let far = UnixStream::from(theirs);
        far.set_nonblocking(true).unwrap();
        Self { epoll, peer, far, now: NOW }
    }

    /// Takes the kernel's event, if there is one.
    fn gather(&mut self) -> EpollFlags {
        let mut events = [EpollEvent::empty(); 2];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap();
        let told = events[..count].iter().fold(EpollFlags::empty(), |told, event| {
            assert_eq!(event.data(), 7);
            told | event.events()
        });
        if count > 0 {
            self.peer.ready(told, self.now);
        }
        told
    }

    /// Drives a turn; what the lines mean is of no interest.
    fn drive(&mut self, mut turn: ReadTurn) -> (usize, Ended) {
        let mut lines = 0;
        loop {
            match turn.next(&mut self.peer, self.now) {
                Ok(ReadStep::Line(_)) => lines += 1,
                Ok(ReadStep::Over(flow)) => return (lines, Ended::Over(flow)),
                Ok(ReadStep::End) => return (lines, Ended::End),
                Err(reason) => return (lines, Ended::Broken(reason)),
            }
        }
    }

    fn turn(&mut self) -> Option<(usize, Ended)> {
        let turn = self.peer.begin_turn()?;
        Some(self.drive(turn))
    }

    /// Drives one turn of messages, for what they mean.
    fn messages(&mut self) -> Vec<PeerMessage<'static, u32>> {
        let mut turn = self.peer.begin_turn().unwrap();
        let mut messages = Vec::new();
        while let ReadStep::Line(line) = turn.next(&mut self.peer, self.now).unwrap() {
            messages.push(self.peer.interpret(line.to_vec().leak(), self.now).unwrap());
        }
        messages
    }

    fn say(&mut self, line: &str, count: usize) {
        self.far.write_all(format!("{line}\n").repeat(count).as_bytes()).unwrap();
    }

    fn say_with_descriptor(&self, line: &str) {
        let line = format!("{line}\n");
        let (socket, _) = UnixStream::pair().unwrap();
        sys::send(self.far.as_fd(), &[IoSlice::new(line.as_bytes())], Some(socket.as_fd())).unwrap();
    }

    /// All that waits at the far end.
    fn heard(&mut self) -> String {
        let mut heard = Vec::new();
        match self.far.read_to_end(&mut heard) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            end => _ = end.unwrap(),
        }
        String::from_utf8(heard).unwrap()
    }

    fn unread(&self) -> usize {
        sys::unread(self.peer.channel.socket.as_fd()).unwrap()
    }
}

#[test]
fn a_turn_cut_short_leaves_whole_lines_for_the_next_though_the_socket_tells_of_none() {
    let mut stage = Stage::new(MAX_FRAME);
    stage.say("1", 2 * TURN_MESSAGES + 44);
    assert_eq!(stage.turn(), None, "nothing has been told yet");
    assert!(stage.gather().contains(EpollFlags::EPOLLIN));
    assert_eq!(stage.turn(), Some((TURN_MESSAGES, Ended::Over(Flow::Fair))));
    assert_eq!((stage.unread(), stage.gather()), (0, EpollFlags::empty()), "all is in the buffer");
    assert_eq!(stage.turn(), Some((TURN_MESSAGES, Ended::Over(Flow::Fair))));
    assert_eq!(stage.turn(), Some((44, Ended::Over(Flow::Fair))));
    assert_eq!(stage.turn(), None);
}

#[test]
fn a_long_message_takes_several_turns_of_so_many_bytes() {
    let mut stage = Stage::new(MAX_FRAME);
    let message = [[b'x'; 2 << 20].as_slice(), b"\n"].concat();
    let (mut rest, mut turns, mut lines) = (message.as_slice(), 0, 0);
    while lines == 0 {
        while !rest.is_empty() {
            match stage.far.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(_) => break,
            }
        }
        stage.gather();
        let (before, buffered) = (stage.unread(), stage.peer.frames.space().len());
        let (heard, ended) = stage.turn().unwrap();
        assert_eq!(ended, Ended::Over(Flow::Fair));
        assert!(before - stage.unread() <= TURN_BYTES + 2 * buffered.max(TURN_BYTES), "turn {turns}");
        (turns, lines) = (turns + 1, lines + heard);
    }
    assert!((3..=1 + message.len() / TURN_BYTES).contains(&turns), "{turns}");
}

#[test]
fn after_a_turn_that_emptied_the_socket_an_edge_tells_of_more() {
    let mut stage = Stage::new(MAX_FRAME);
    for _ in 0..3 {
        stage.say("1", 1);
        stage.gather();
        assert_eq!(stage.turn(), Some((1, Ended::Over(Flow::Fair))));
        assert!(stage.peer.is_drained());
        assert_eq!((stage.turn(), stage.gather()), (None, EpollFlags::empty()));
    }
}

#[test]
fn a_flood_pauses_until_its_time_and_nothing_is_lost() {
    let mut stage = Stage::new(SHORT);
    stage.say("1", 1000);
    stage.gather();
    assert_eq!(stage.turn(), Some((TURN_MESSAGES, Ended::Over(Flow::Fair))));
    assert_eq!(stage.turn(), Some((TURN_MESSAGES, Ended::Over(Flow::FloodToReport))));
    let until = stage.peer.next_wake().unwrap();
    assert_eq!(until, stage.now.after(PAUSE));
    stage.say("1", 1);
    stage.gather();
    stage.peer.wake(Moment(until.0 - 1));
    assert_eq!(stage.turn(), None, "its time has not come");
    stage.now = until;
    stage.peer.wake(until);
    assert_eq!(stage.peer.next_wake(), None);
    assert_eq!(stage.turn(), Some((TURN_MESSAGES, Ended::Over(Flow::Fair))));
    assert_eq!(stage.turn(), Some((233, Ended::Over(Flow::Flood))), "reported once");
}

#[test]
fn all_is_heard_before_the_end() {
    let mut stage = Stage::new(MAX_FRAME);
    stage.say("1", TURN_MESSAGES + 1);
    stage.far.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(stage.gather().contains(EpollFlags::EPOLLRDHUP));
    assert_eq!(stage.turn(), Some((TURN_MESSAGES, Ended::Over(Flow::Fair))));
    assert_eq!(stage.turn(), Some((1, Ended::End)), "though no further edge comes");
}

#[test]
fn the_dead_are_heard_to_the_end_whatever_limits_hold_for_the_living() {
    let mut stage = Stage::new(SHORT);
    stage.say("1", 1000);
    stage.gather();
    while stage.turn().is_some() {}
    assert!(stage.peer.next_wake().is_some(), "it is paused");
    drop(std::mem::replace(&mut stage.far, UnixStream::pair().unwrap().0));
    let turn = stage.peer.begin_last_turn();
    assert_eq!(stage.drive(turn), (1000 - 2 * TURN_MESSAGES, Ended::End));
}

#[test]
fn who_inherited_the_end_of_the_dead_is_not_waited_for() {
    let mut stage = Stage::new(MAX_FRAME);
    stage.say("1", 1000);
    let mut turn = stage.peer.begin_last_turn();
    let mut lines = 0;
    loop {
        match turn.next(&mut stage.peer, stage.now).unwrap() {
            ReadStep::Line(_) => lines += 1,
            ReadStep::Over(_) => break,
            ReadStep::End => panic!("somebody holds the other end"),
        }
        // An heir that writes more than is read.
        stage.say("2", 2);
    }
    assert_eq!(lines, 3000, "its own, and those of one read in which the end was looked for");
    assert!(stage.peer.is_drained() && stage.unread() > 0);
    assert_eq!(stage.turn(), None);
}

#[test]
fn behind_a_message_that_is_too_long_the_next_one_comes() {
    let mut stage = Stage::new(SHORT);
    stage.say(&"x".repeat(SHORT + 1), 1);
    stage.say("1", 1);
    stage.gather();
    let mut turn = stage.peer.begin_turn().unwrap();
    assert_eq!(turn.next(&mut stage.peer, NOW), Err(ProtocolError::FrameTooLong));
    assert!(!stage.peer.has_descriptors());
    assert_eq!(turn.next(&mut stage.peer, NOW), Ok(ReadStep::Line(b"1")));
    assert_eq!(turn.next(&mut stage.peer, NOW), Ok(ReadStep::Over(Flow::Fair)));
}

#[test]
fn a_descriptor_of_a_message_that_is_too_long_is_known_of() {
    let mut stage = Stage::new(32);
    stage.say_with_descriptor(&"x".repeat(SHORT));
    stage.gather();
    assert_eq!(stage.turn(), Some((0, Ended::Broken(ProtocolError::FrameTooLong))));
    assert!(stage.peer.has_descriptors());
    stage.peer.close(&stage.epoll);
    assert!(!stage.peer.has_descriptors());
}

#[test]
fn a_descriptor_is_acknowledged_once_and_counted_until_it_is_closed() {
    let mut stage = Stage::new(MAX_FRAME);
    let wrapped = r#"{"cmd":"NODE_HANDLE","type":"net.Socket","msg":1,"key":"k"}"#;
    stage.say_with_descriptor(wrapped);
    stage.say(wrapped, 1);
    stage.say(r#"{"cmd":"NODE_SOCKET_GET_COUNT","key":"k"}"#, 1);
    stage.say(r#"{"cmd":"NODE_SOCKET_NOTIFY_CLOSE","key":"k"}"#, 1);
    stage.gather();
    let mut messages = stage.messages();
    let handle = match messages.remove(0) {
        PeerMessage::User(raw, Some(handle)) if raw.get() == "1" => handle,
        other => panic!("{other:?}"),
    };
    assert!(messages.iter().all(|message| matches!(message, PeerMessage::Nothing)), "{messages:?}");
    let count = "{\"cmd\":\"NODE_SOCKET_COUNT\",\"key\":\"k\",\"count\":1}\n";
    let answers = [reply::ACK, reply::NACK, count.as_bytes()].concat();
    assert_eq!(stage.heard().as_bytes(), answers);
    drop(handle);
    assert_eq!(stage.peer.close_notify.read(), Ok(1));
    stage.peer.answer_closed_sockets(NOW);
    stage.peer.answer_closed_sockets(NOW);
    assert_eq!(stage.heard(), "{\"cmd\":\"NODE_SOCKET_ALL_CLOSED\",\"key\":\"k\"}\n");
}

#[test]
fn what_is_acknowledged_comes_back_in_its_turn() {
    let mut stage = Stage::new(MAX_FRAME);
    for sent in [1, 2, 3] {
        let handle = UserHandle::new(UnixStream::pair().unwrap().0.into()).unwrap();
        let outcome = stage.peer.send(&sent, Some((handle, sent)), usize::MAX, NOW);
        assert_eq!(outcome, SendOutcome::Taken);
    }
    stage.peer.acked_if(|sent| *sent == 2, NOW);
    stage.peer.acked_if(|sent| *sent == 1, NOW);
    stage.say(r#"{"cmd":"NODE_HANDLE_NACK"}"#, 1);
    stage.say(r#"{"cmd":"NODE_HANDLE_ACK"}"#, 2);
    stage.gather();
    let messages = stage.messages();
    assert!(
        matches!(
            messages[..],
            [PeerMessage::Nacked(Some(2)), PeerMessage::Acked(Some(3)), PeerMessage::Acked(None)]
        ),
        "{messages:?}"
    );
}

#[test]
fn who_does_not_read_is_not_read_and_room_is_told_of_once_it_is_wanted() {
    let mut stage = Stage::new(MAX_FRAME);
    let line = "\"".to_owned() + &"x".repeat(SHORT) + "\"\n";
    while !stage.peer.send_queue.is_over() {
        stage.peer.post(line.clone().into_bytes(), None, NOW);
    }
    assert!(stage.peer.queued() > SEND_QUEUE_LIMIT);
    assert_eq!(stage.peer.send(&1, None, SEND_QUEUE_LIMIT, NOW), SendOutcome::Full);
    stage.say("1", 1);
    stage.gather();
    assert_eq!(stage.turn(), None);
    stage.peer.watch_room(&stage.epoll);
    let mut heard = 0;
    while stage.peer.queued() > 0 {
        heard += stage.heard().len();
        assert!(stage.gather().contains(EpollFlags::EPOLLOUT));
    }
    stage.peer.watch_room(&stage.epoll);
    assert_eq!(stage.turn(), Some((1, Ended::Over(Flow::Fair))));
    heard += stage.heard().len();
    assert_eq!(heard % line.len(), 0, "whole lines, each once");
    stage.say("1", 1);
    assert_eq!(stage.gather(), EpollFlags::EPOLLIN, "room is not watched for any more");
}

#[test]
fn a_closed_peer_writes_nothing_and_is_not_told_of() {
    let mut stage = Stage::new(MAX_FRAME);
    stage.peer.close(&stage.epoll);
    assert_eq!(stage.peer.send(&1, None, usize::MAX, NOW), SendOutcome::Taken);
    stage.say("1", 1);
    assert_eq!((stage.gather(), stage.heard()), (EpollFlags::empty(), String::new()));
    stage.peer.close(&stage.epoll);
}
