//! What a request came to, in the JSON of the control socket.
//!
//! Invariant: the same as those of `schema`.

use serde::{Deserialize, Serialize};

/// What a request came to; also what every request gets that is not answered otherwise, such as one for an unknown path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Answer {
    /// The version of these types: 1.
    pub schema: u32,
    /// In one word.
    pub outcome: Outcome,
    /// Why it was refused, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// In one sentence, for people; where a configuration is refused, in several lines.
    pub message: String,
    /// How many workers have been replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<u32>,
    /// The worker that stood in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wid: Option<u32>,
    /// The generation that serves now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
}

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is accepted and goes on; asked with `wait=false`. (202)
    Accepted,
    /// It is done. (200)
    Done,
    /// It has failed, and what was replaced is on the former generation again. (409)
    TakenBack,
    /// It has failed and was given up where it stood, or workers that it was about are dead; the message says what serves. (409)
    Aborted,
    /// Something that was asked for later has overruled it: a stop, as a rule. (409)
    Overruled,
    /// Nothing was changed. (409, or the code that belongs to the reason)
    Refused,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There is no worker of this number. (409)
    UnknownWorker,
    /// There is no app of this name that runs, or the app has to be named. (409)
    UnknownApp,
    /// A custom master's script decides that, by its methods. (409)
    ScriptDecides,
    /// The number of workers is out of range. (409)
    OutOfRange,
    /// The configuration cannot be used; the message says why. (409)
    Configuration,
    /// Everything is being stopped. (409)
    Stopping,
    /// Too much is asked at once; try again. (503)
    Busy,
    /// The request cannot be understood. (400)
    BadRequest,
    /// The user that asks may not. (403)
    Forbidden,
    /// There is no such path. (404)
    NotFound,
    /// The path is asked in another way: GET, POST. (405)
    MethodNotAllowed,
    /// The body is too large. (413)
    TooLarge,
    /// luster has failed. (500)
    Internal,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}
