//! The common part of the peers in Rust: the skeleton that `scm interop new-peer rust` prints, and what it leaves out.

mod buffers;
pub mod peer;

pub use buffers::{run, socket_type, Library, Received};
pub use peer::Failure;
