//! Unix sockets: who may connect to those of workers (`server.socketMode` and `server.socketGroup`), where the control socket is
//! and who may connect to that (`control.socket` and `control.group`).
//!
//! Invariant: a group's name is looked up once, here; what is named must exist.

use std::path::Path;

use nix::unistd::{Gid, Group};
use serde_json::Value;

use crate::config::find;
use crate::config::raw::ValueAt;
use crate::config::settings::ControlSocket;
use crate::config::validator::Validator;

const MODE: &str = "server.socketMode";
const CONTROL: &str = "control.socket";

/// The permission bits: octal digits in a string, or JavaScript's `0o660`.
pub(super) fn mode(validator: &mut Validator<'_>) -> Option<u32> {
    let expected = "permission bits in octal, such as \"0660\"";
    let mode = match validator.at(MODE) {
        ValueAt::Absent => return None,
        ValueAt::Plain(Value::String(digits)) => octal(digits),
        // A plain 660, which is what JSON has, is another number in octal, and beyond 0o777.
        ValueAt::Plain(Value::Number(number)) => number.as_u64().and_then(|mode| u32::try_from(mode).ok()),
        ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => {
            validator.fail_type(MODE, expected);
            return None;
        }
    };
    let mode = mode.filter(|mode| *mode <= 0o777);
    if mode.is_none() {
        validator.fail_value(MODE, expected);
    }
    mode
}

fn octal(digits: &str) -> Option<u32> {
    let digits = digits.strip_prefix("0o").unwrap_or(digits);
    let is_octal =
        (3..=4).contains(&digits.len()) && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    is_octal.then(|| u32::from_str_radix(digits, 8).ok())?
}

/// Where the control socket is; a path is seen from this folder.
pub(super) fn control(validator: &mut Validator<'_>, base_dir: &Path) -> ControlSocket {
    let expected = "the path of a unix socket, or false for none";
    match validator.at(CONTROL) {
        ValueAt::Absent | ValueAt::Plain(Value::Bool(true)) => ControlSocket::Default,
        ValueAt::Plain(Value::Bool(false)) => ControlSocket::None,
        ValueAt::Plain(Value::String(path)) if !path.is_empty() => {
            ControlSocket::Path(find::resolve(base_dir, Path::new(path)))
        }
        ValueAt::Plain(Value::String(_)) => {
            validator.fail_value(CONTROL, expected);
            ControlSocket::Default
        }
        ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => {
            validator.fail_type(CONTROL, expected);
            ControlSocket::Default
        }
    }
}

/// The number of the group that this key names, by its name or number.
pub(super) fn group(validator: &mut Validator<'_>, key: &str) -> Option<u32> {
    let expected = "the name or number of a group of this system (`getent group`)";
    let group = match validator.at(key) {
        ValueAt::Absent => return None,
        ValueAt::Plain(Value::String(name)) => by_name(name),
        ValueAt::Plain(Value::Number(number)) => number.as_u64().and_then(|gid| u32::try_from(gid).ok()),
        ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => {
            validator.fail_type(key, expected);
            return None;
        }
    };
    if group.is_none() {
        validator.fail_value(key, expected);
    }
    group
}

fn by_name(name: &str) -> Option<u32> {
    let named = Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    named.or_else(|| name.parse().ok().map(Gid::from_raw).map(Gid::as_raw))
}
