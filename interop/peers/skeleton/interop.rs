//! Runs the scenarios of `scm interop` with this crate: one test for each group. It needs the program scm in
//! PATH, or its path in SCM_PROGRAM. Save it as tests/interop.rs, and the peer as examples/peer.rs:
//!
//!     scm interop new-peer rust >examples/peer.rs
//!     scm interop new-peer rust --test >tests/interop.rs
//!     cargo test --test interop
//!
//! The expected failures are in tests/interop-expected.txt, if there is such a file.
#![cfg(target_os = "linux")]

use std::io::{self, ErrorKind, Write as _};
use std::process::Command;
use std::sync::{LazyLock, Once};
use std::{env, path::Path};

const EXPECTED: &str = "tests/interop-expected.txt";

/// The example that calls this crate. `cargo test --test interop` does not build it.
static PEER: LazyLock<String> = LazyLock::new(|| {
    let deps = env::current_exe().unwrap(); // target/debug/deps/interop-…, or target/TRIPLE/debug/…
    let above = |n| deps.ancestors().nth(n)?.file_name()?.to_str();
    let profile = above(2).map(|name| if name == "debug" { "dev" } else { name });
    let target = above(3).filter(|name| name.contains("-linux-"));
    let mut build = Command::new(env!("CARGO"));
    build.args("build --quiet --example peer --profile".split(' '));
    build.args(profile);
    build.args(target.map(|triple| format!("--target={triple}")));
    assert!(build.status().unwrap().success(), "the peer does not build");
    let peer = deps.parent().unwrap().with_file_name("examples/peer");
    peer.to_str().unwrap().to_string()
});

static ONCE: Once = Once::new();

/// Runs scm interop, and returns what it printed. Without scm, it returns None, or fails if CI is set.
fn scm(args: &[&str]) -> Option<String> {
    let scm = env::var("SCM_PROGRAM").unwrap_or("scm".into());
    let out = match Command::new(&scm).arg("interop").args(args).output() {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let note = format!("The scenarios of scm interop did not run: no program {scm}\n");
            let ci = !env::var("CI").unwrap_or_default().is_empty();
            assert!(!ci, "{note}Install it, or set SCM_PROGRAM to its path.");
            // libtest does not show what eprintln! prints in a test that passes.
            ONCE.call_once(|| drop(io::stderr().write_all(note.as_bytes())));
            return None;
        }
        result => result.unwrap(),
    };
    let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "scm interop: {}\n{text}", out.status);
    Some(text.into_owned())
}

fn run(group: &str) {
    let (name, peer) = (env!("CARGO_PKG_NAME"), PEER.as_str());
    let peer = format!("--peer={name}={peer}");
    let pair = format!("{{{name},runner}}");
    let cases = format!("--run={group}/*/*/{pair}/{pair}");
    let mut args = vec!["run", "--builtin=false", "--jobs=1", &peer, &cases];
    if Path::new(EXPECTED).exists() {
        args.extend(["--expect", EXPECTED]);
    }
    let Some(text) = scm(&args) else { return };
    // Before the last line, scm says how many cases of the peer ran, and how many were not asked.
    let counts = text.lines().skip_while(|line| !line.starts_with("peer "));
    let counts = counts.take_while(|line| !line.starts_with("the run: "));
    let counts: Vec<_> = counts.map(str::trim).collect();
    let note = format!("{group}: {}\n", counts.join(" "));
    drop(io::stderr().write_all(note.as_bytes()));
}

macro_rules! groups {
    ($($group:ident)*) => {
        $(#[test] fn $group() { run(stringify!($group)) })*
        /// A newer scm may have another group: print this file again.
        #[test] fn every_group_has_a_test() {
            let list = scm(&["list", "--scenarios", "--builtin=false"]).unwrap_or_default();
            for line in list.lines().filter(|line| !line.contains("\tkernel\t")) {
                let group = line.split('/').next().unwrap();
                assert!([$(stringify!($group)),*].contains(&group), "group {group} has no test");
            }
        }
    };
}
groups! { GROUPS }
