//! How long and how much, in a few letters; and words of others' that are safe to show.

use std::time::Duration;

/// `4s`, `5m12s`, `3h04m`, `2d05h`, `400d`.
pub(super) fn time(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        (1..100, _, _) => format!("{days}d{:02}h", hours % 24),
        (_, _, _) => format!("{days}d"),
    }
}

/// Processor time: what is less than ten seconds with a digit more.
pub(super) fn processor_time(milliseconds: u64) -> String {
    if milliseconds < 10_000 {
        return format!("{}.{}s", milliseconds / 1000, milliseconds % 1000 / 100);
    }
    time(milliseconds)
}

/// The share of one processor that was used.
pub(super) fn share(used_ms: u64, elapsed: Duration) -> String {
    let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    format!("{}%", used_ms.saturating_mul(100).saturating_add(elapsed / 2) / elapsed)
}

/// `812 KiB`, `64 MiB`, `1.5 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let (kib, mib) = (bytes >> 10, bytes >> 20);
    match mib {
        0 => format!("{kib} KiB"),
        1..1024 => format!("{mib} MiB"),
        _ => format!("{}.{} GiB", mib >> 10, ((mib & 1023) * 10) >> 10),
    }
}

/// `1 worker`, `2 workers`.
pub(super) fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The text without what would move a terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|each| if each.is_control() { '?' } else { each }).collect()
}

/// The same, but for line feeds.
pub(super) fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_short() {
        let times = [999, 59_999, 312_000, 11_040_000, 190_800_000, 86_400_000 * 400].map(time);
        assert_eq!(times, ["0s", "59s", "5m12s", "3h04m", "2d05h", "400d"]);
        assert_eq!([340, 9_999, 10_000].map(processor_time), ["0.3s", "9.9s", "10s"]);
        let sizes = [0, 831_488, 64 << 20, (1 << 30) + (1 << 29), 1023 << 20].map(bytes);
        assert_eq!(sizes, ["0 KiB", "812 KiB", "64 MiB", "1.5 GiB", "1023 MiB"]);
        assert_eq!(share(500, Duration::from_secs(1)), "50%");
        assert_eq!(share(0, Duration::ZERO), "0%");
        assert_eq!(plain("a\x1b[2Jb\n"), "a?[2Jb?");
        assert_eq!(plain_lines("a\x1b\nb"), "a?\nb");
    }
}
