//! Tests of all that goes over the wire.

mod recorded;
pub(super) mod samples;
