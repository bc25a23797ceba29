//! The transitions: what each state makes of what it waits for. One file for each state that reads or is answered.

mod asking;
mod binding;
mod challenged;
pub(crate) mod component;
mod established;
mod foreign;
mod inlined;
mod offering;
mod opening;
pub(crate) mod registering;
pub(crate) mod rejection;
mod requested;
pub(crate) mod resuming;
