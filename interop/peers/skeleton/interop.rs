//! Runs the scenarios of `scm interop` with this crate: one test for each group. It needs the program scm in
//! PATH, or its path in SCM_PROGRAM. Save it as tests/interop.rs, and the peer as examples/peer.rs:
//!
//!     scm interop new-peer rust >examples/peer.rs
//!     scm interop new-peer rust --test >tests/interop.rs
//!     cargo test --test interop
//!
//! The expected failures are in tests/interop-expected.txt, if there is such a file.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write as _};
use std::process::Command;
use std::sync::{LazyLock, Mutex, Once};
use std::{env, panic, path::Path};

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

/// For the expected failures that apply to no case, which fail only a run of all groups.
static UNMATCHED: Once = Once::new();

/// Runs scm interop, and returns what it printed. Without scm, it returns None, or fails if CI is set.
fn scm(args: &[&str]) -> Option<Result<String, String>> {
    let scm = env::var("SCM_PROGRAM").unwrap_or("scm".into());
    let out = match Command::new(&scm).arg("interop").args(args).output() {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let why = format!("The scenarios of scm interop did not run: no program {scm}\n");
            let ci = !env::var("CI").unwrap_or_default().is_empty();
            assert!(!ci, "{why}Install it, or set SCM_PROGRAM to its path.");
            ONCE.call_once(|| note(&why));
            return None;
        }
        result => result.unwrap(),
    };
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    Some(match out.status.code() {
        Some(0) => Ok(text),
        Some(1) => Err(text), // cases failed
        Some(3) if errors == "scm: nothing ran\n" => Ok(text), // the peer supports no case of the group
        _ => Err(errors + &text),
    })
}

/// Prints a line. libtest does not show what eprintln! prints in a test that passes.
fn note(line: &str) {
    drop(io::stderr().write_all(line.as_bytes()));
}

/// The first group that failed for each cause.
static FIRST: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Fails the test of a group. It prints each cause that is not known from another group.
fn fail(group: &str, text: &str) -> ! {
    let mut known = String::new();
    let parts = text.split("\n\n");
    for cause in parts.take_while(|part| !part.starts_with("cases of ")) {
        let what = cause.split(": ").next().unwrap().to_string();
        let mut first = FIRST.lock().unwrap();
        let other = first.entry(what.clone()).or_insert(group.to_string());
        if other == group {
            println!("{cause}\n");
        } else {
            let what = what.replace("\n ", "");
            known += &format!("{group}: fails as {other} does: {what}\n");
        }
    }
    note(&known);
    panic::resume_unwind(Box::new(())) // this prints nothing
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
    match scm(&args) {
        None => {}
        Some(Err(text)) => fail(group, &text),
        Some(Ok(text)) => {
            let unmatched = text.lines().filter(|line| line.contains("applies to no case"));
            UNMATCHED.call_once(|| unmatched.for_each(|line| note(&format!("{}\n", line.trim()))));
            // The last lines say how many cases of the peer passed, and how many have no verdict.
            let begin = format!("{name}: ");
            let counts = text.lines().skip_while(|line| !line.starts_with(&begin));
            let counts: Vec<_> = counts.map(str::trim).collect();
            note(&format!("{group}: {}\n", counts.join(" ")));
        }
    }
}

macro_rules! groups {
    ($($group:ident)*) => {
        $(#[test] fn $group() { run(stringify!($group)) })*
        /// A newer scm may have another group: print this file again.
        #[test] fn every_group_has_a_test() {
            let list = scm(&["list", "--scenarios", "--builtin=false"]).unwrap_or(Ok(String::new()));
            for line in list.unwrap().lines() {
                let group = line.split('/').next().unwrap();
                assert!([$(stringify!($group)),*].contains(&group), "group {group} has no test");
            }
        }
    };
}
groups! { GROUPS }
