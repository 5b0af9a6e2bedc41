//! Node's cluster protocol, spoken as the parent.
