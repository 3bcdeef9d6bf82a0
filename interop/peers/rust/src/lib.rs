//! The common part of the peers in Rust: the skeleton that `scm interop new-peer rust` prints, and what it leaves out.

mod buffers;
pub mod message;
pub mod peer;

pub use buffers::{borrow, run, socket_type, Library, Received, Result};
pub use peer::Failure;
