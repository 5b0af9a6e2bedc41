//! The configuration: finding it, reading it, checking it, and the settings it means.
