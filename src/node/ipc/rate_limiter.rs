//! Measures how much a peer writes, so that one that floods is slowed down and the others are not.
//!
//! Invariant: over any stretch of time a peer is read at most the sustained rate plus one full bucket.

use std::time::Duration;

use crate::core::Moment;

/// Bytes a second that one peer may write for ever.
const BYTES_PER_MILLISECOND: i64 = (32 << 20) / 1000;
/// Messages a second that one peer may write for ever.
const MESSAGES_PER_MILLISECOND: i64 = 200;
/// How much may come at once, compared to the longest message, which must be possible.
const BUCKET_PERCENT: i64 = 120;
/// How long reading pauses once the bucket is empty.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);
/// A flood is reported this often at most.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// One peer's bucket of bytes and messages.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    /// How many milliseconds' worth it holds.
    bucket: i64,
    /// Below zero is a debt: a turn is read before it is measured.
    bytes: i64,
    messages: i64,
    filled: Moment,
    reported: Option<Moment>,
}

/// What a reading means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Fair,
    /// Too much; not said for a while.
    FloodToReport,
    /// Too much, and known.
    Flood,
}

impl TokenBucket {
    /// For a peer whose messages are at most this long.
    pub(crate) fn for_frames_of(max_frame: usize) -> Self {
        let max_frame = i64::try_from(max_frame).unwrap_or(i64::MAX / BUCKET_PERCENT);
        let bucket = max_frame * BUCKET_PERCENT / 100 / BYTES_PER_MILLISECOND;
        Self {
            bucket,
            bytes: BYTES_PER_MILLISECOND * bucket,
            messages: MESSAGES_PER_MILLISECOND * bucket,
            filled: Moment::default(),
            reported: None,
        }
    }

    /// Takes what was read out of the bucket.
    pub(crate) fn spend(&mut self, now: Moment, bytes: usize, messages: usize) -> Flow {
        let elapsed = i64::try_from(now.since(self.filled).as_millis()).unwrap_or(i64::MAX).min(self.bucket);
        self.filled = self.filled.max(now);
        let bucket = self.bucket;
        let fill = |left: i64, rate: i64, spent: usize| {
            (left + elapsed * rate)
                .min(rate * bucket)
                .saturating_sub(i64::try_from(spent).unwrap_or(i64::MAX))
        };
        self.bytes = fill(self.bytes, BYTES_PER_MILLISECOND, bytes);
        self.messages = fill(self.messages, MESSAGES_PER_MILLISECOND, messages);
        if self.bytes > 0 && self.messages > 0 {
            return Flow::Fair;
        }
        if self.reported.is_some_and(|reported| now.since(reported) < REPORT_EVERY) {
            return Flow::Flood;
        }
        self.reported = Some(now);
        Flow::FloodToReport
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::ipc::{MAX_FRAME, MAX_HOST_FRAME};

    #[test]
    fn a_steady_peer_is_never_a_flood_and_one_long_message_neither() {
        for limit in [MAX_FRAME, MAX_HOST_FRAME] {
            assert_eq!(TokenBucket::for_frames_of(limit).spend(Moment(1_000), limit, 1), Flow::Fair);
        }
        let mut rate_limiter = TokenBucket::for_frames_of(MAX_FRAME);
        for tick in 0..10_000 {
            assert_eq!(rate_limiter.spend(Moment(2_000 + tick), 30_000, 150), Flow::Fair);
        }
    }

    #[test]
    fn a_flood_is_held_to_the_rate_and_reported_once_a_minute() {
        let (mut rate_limiter, mut passed, mut reports, mut paused) =
            (TokenBucket::for_frames_of(MAX_FRAME), 0_i64, 0, Moment(0));
        for now in (0..90_000).map(Moment) {
            if now < paused {
                continue;
            }
            passed += 1 << 20;
            match rate_limiter.spend(now, 1 << 20, 1) {
                Flow::Fair => {}
                Flow::FloodToReport => (reports, paused) = (reports + 1, now.after(PAUSE)),
                Flow::Flood => paused = now.after(PAUSE),
            }
        }
        assert_eq!(reports, 2);
        assert!(passed < BYTES_PER_MILLISECOND * 92_000, "{passed}");
    }
}
