//! Gives each peer the version of its library from Cargo.lock.

use std::fs;

const LIBRARIES: [&str; 6] = [
    "libc",
    "nix",
    "rustix",
    "sendfd",
    "tokio-seqpacket",
    "vmm-sys-util",
];

fn main() {
    println!("cargo:rerun-if-changed=Cargo.lock");
    let lock = fs::read_to_string("Cargo.lock").expect("Cargo.lock");
    for library in LIBRARIES {
        let head = format!("name = \"{library}\"\nversion = \"");
        let mut found = lock.split(&head).skip(1);
        let version = found.next().and_then(|rest| rest.split('"').next());
        let version = version.unwrap_or_else(|| panic!("{library} is not in Cargo.lock"));
        assert!(found.next().is_none(), "two versions of {library}");
        println!("cargo:rustc-env=VERSION_{library}={version}");
    }
}
