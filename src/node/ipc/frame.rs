//! Splits the other end's byte stream into lines, one JSON message each. Knows nothing of what they say.
//!
//! Invariants: however the stream is cut into reads, the same lines come out; a byte is searched for the newline
//! once; no more than one frame over the limit is ever buffered; behind a line that was too long the next one comes.

use std::cell::Cell;
use std::ops::Range;

use memchr::memchr;

use crate::node::ipc::ProtocolError;

/// The longest message a peer may send, in bytes. Node has no limit; without one a peer could fill our memory.
pub const MAX_FRAME: usize = 16 << 20;

/// The longest message of the host, in bytes: it hands data to workers.
pub(crate) const MAX_HOST_FRAME: usize = 64 << 20;

/// How much room one read is given at least.
const READ_SIZE: usize = 32 << 10;

/// A buffer grown beyond this by a long message is given back once it is empty.
const KEEP_SIZE: usize = 256 << 10;

thread_local! {
    /// Room that somebody has read with and does not need at rest. What is in it was dealt with.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes received, some of them whole lines.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    limit: usize,
    passing: Passing,
    /// All initialised, so that reads can go straight into the tail.
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where there is no newline.
    scanned: usize,
    /// Up to where bytes were received.
    end: usize,
}

/// Whether the rest of a line that was too long is being passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passing {
    No,
    Yes,
}

impl Default for FrameBuffer {
    fn default() -> Self {
        Self::with_limit(MAX_FRAME)
    }
}

impl FrameBuffer {
    /// For lines of up to so many bytes.
    pub(crate) const fn with_limit(limit: usize) -> Self {
        Self { limit, passing: Passing::No, bytes: Vec::new(), start: 0, scanned: 0, end: 0 }
    }

    /// Where the next bytes go: at least [`READ_SIZE`] of them.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        self.make_room();
        &mut self.bytes[self.end..]
    }

    /// Says that the first `len` bytes of `space` were received.
    pub(crate) fn filled(&mut self, len: usize) {
        self.end = (self.end + len).min(self.bytes.len());
    }

    /// Nothing more is read for now: whoever has nothing in it needs no room, of which there would be as much as there are
    /// workers. Who reads next uses it.
    pub(crate) fn rest(&mut self) {
        if self.start == self.end {
            (self.start, self.scanned, self.end) = (0, 0, 0);
            let room = std::mem::take(&mut self.bytes);
            if room.len() == READ_SIZE {
                SPARE.set(room);
            }
        }
    }

    /// Where the next whole line lies, without its newline, until [`FrameBuffer::space`] is called.
    pub(crate) fn next_line(&mut self) -> Result<Option<Range<usize>>, ProtocolError> {
        loop {
            let Some(offset) = memchr(b'\n', &self.bytes[self.scanned..self.end]) else {
                return self.no_line();
            };
            let newline = self.scanned + offset;
            let line = self.start..newline;
            self.start = newline + 1;
            self.scanned = self.start;
            if self.passing == Passing::Yes {
                self.passing = Passing::No;
                continue;
            }
            return match line.len() {
                0 => Err(ProtocolError::EmptyFrame),
                len if len > self.limit => Err(ProtocolError::FrameTooLong),
                _ => Ok(Some(line)),
            };
        }
    }

    /// The line that lies there.
    pub(crate) fn line(&self, at: Range<usize>) -> &[u8] {
        &self.bytes[at]
    }

    /// There is no newline.
    fn no_line(&mut self) -> Result<Option<Range<usize>>, ProtocolError> {
        self.scanned = self.end;
        match self.passing {
            Passing::No if self.end - self.start <= self.limit => return Ok(None),
            Passing::No | Passing::Yes => {}
        }
        self.start = self.end;
        match std::mem::replace(&mut self.passing, Passing::Yes) {
            Passing::No => Err(ProtocolError::FrameTooLong),
            Passing::Yes => Ok(None),
        }
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.scanned, self.end) = (0, 0, 0);
            if self.bytes.len() > KEEP_SIZE {
                self.bytes = Vec::new();
            }
        }
        if self.bytes.is_empty() {
            self.bytes = SPARE.take();
        }
        if self.bytes.len() - self.end >= READ_SIZE {
            return;
        }
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.scanned -= self.start;
        self.start = 0;
        if self.bytes.len() - self.end < READ_SIZE {
            let len = (self.end + READ_SIZE).max(self.bytes.len().saturating_mul(2));
            self.bytes.resize(len, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn feed(frames: &mut FrameBuffer, bytes: &[u8]) {
        for chunk in bytes.chunks(READ_SIZE) {
            frames.space()[..chunk.len()].copy_from_slice(chunk);
            frames.filled(chunk.len());
        }
    }

    fn drain(frames: &mut FrameBuffer) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let mut lines = Vec::new();
        while let Some(line) = frames.next_line()? {
            lines.push(frames.line(line).to_vec());
        }
        Ok(lines)
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_lines(
            lines in prop::collection::vec("[a-z]{1,200}", 0..40),
            cuts in prop::collection::vec(1_usize..300, 1..60),
        ) {
            let stream: Vec<u8> = lines.iter().flat_map(|line| line.bytes().chain([b'\n'])).collect();
            let mut frames = FrameBuffer::default();
            let mut heard = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                feed(&mut frames, now);
                heard.extend(drain(&mut frames).unwrap());
                rest = later;
                if rest.is_empty() { break; }
            }
            let expected: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(heard, expected);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            let mut frames = FrameBuffer::default();
            feed(&mut frames, &bytes);
            let _ = drain(&mut frames);
        }
    }

    #[test]
    fn an_endless_line_is_refused_just_past_the_limit() {
        let mut frames = FrameBuffer::default();
        feed(&mut frames, &vec![b'x'; MAX_FRAME]);
        assert_eq!(frames.next_line(), Ok(None));
        feed(&mut frames, b"x");
        assert_eq!(frames.next_line(), Err(ProtocolError::FrameTooLong));
    }

    #[test]
    fn behind_a_line_that_was_too_long_the_next_one_comes() {
        for long in [33, 40_000, 200_000] {
            let mut frames = FrameBuffer::with_limit(32);
            let mut complaints = 0;
            let mut heard = Vec::new();
            let stream = [b"first\n".as_slice(), &vec![b'x'; long], b"\nsecond\n"].concat();
            for chunk in stream.chunks(1000) {
                feed(&mut frames, chunk);
                loop {
                    match frames.next_line() {
                        Ok(Some(line)) => heard.push(String::from_utf8(frames.line(line).to_vec()).unwrap()),
                        Ok(None) => break,
                        Err(protocol_error) => {
                            assert_eq!(protocol_error, ProtocolError::FrameTooLong);
                            complaints += 1;
                        }
                    }
                }
            }
            assert_eq!((heard, complaints), (vec!["first".to_owned(), "second".to_owned()], 1), "{long}");
        }
    }

    #[test]
    fn an_empty_line_is_refused() {
        let mut frames = FrameBuffer::default();
        feed(&mut frames, b"1\n\n");
        assert_eq!(frames.next_line(), Ok(Some(0..1)));
        assert_eq!(frames.next_line(), Err(ProtocolError::EmptyFrame));
    }

    #[test]
    fn whoever_has_nothing_keeps_no_room_and_who_has_half_a_line_keeps_that() {
        let (mut one, mut other) = (FrameBuffer::default(), FrameBuffer::default());
        feed(&mut one, b"1\n");
        assert_eq!(drain(&mut one).unwrap(), [b"1"]);
        let room = one.bytes.as_ptr();
        one.rest();
        assert!(one.bytes.is_empty());
        feed(&mut other, b"\"half");
        assert_eq!(other.bytes.as_ptr(), room, "it is used again");
        other.rest();
        feed(&mut one, b"2\n");
        feed(&mut other, b" a line\"\n");
        assert_eq!(drain(&mut one).unwrap(), [b"2"]);
        assert_eq!(drain(&mut other).unwrap(), [b"\"half a line\""]);
    }

    #[test]
    fn a_long_message_does_not_keep_its_memory() {
        let mut frames = FrameBuffer::default();
        let mut long = vec![b'x'; 4 << 20];
        long.push(b'\n');
        feed(&mut frames, &long);
        assert_eq!(drain(&mut frames).unwrap().len(), 1);
        let _ = frames.space();
        assert!(frames.bytes.len() <= KEEP_SIZE);
    }
}
