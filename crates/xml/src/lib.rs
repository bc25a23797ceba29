//! Restricted, streaming, bounded XML for XMPP (RFC 6120, section 11).
//!
//! Bytes to events and back; no tokio, no XMPP semantics beyond "a stream is a root with children".

mod canonical;
mod chars;
mod dialect;
mod element;
mod error;
mod escape;
pub mod fragment;
mod header;
mod limits;
pub mod ns;
mod reader;
mod scan;
mod scope;
mod tag;
mod walk;

pub use dialect::Dialect;
pub use element::{Element, Node};
pub use error::Error;
pub use escape::{escape_attribute, escape_text};
pub use header::Open;
pub use limits::Limits;
pub use reader::{Event, Reader};
