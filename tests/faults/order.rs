//! What is synced before an answer, seen in the calls of a server that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::thread;

use delta_tests::faults::attach::{Attached, cannot_trace};
use delta_tests::faults::order::{Writes, Wrote, answers, violations};
use delta_tests::faults::script::script;
use delta_tests::faults::trace::{Called, calls};
use delta_tests::http::{Client, Response};
use delta_tests::start::Start;
use delta_tests::storages::Storage;

use super::STORAGES;
use crate::support::{PROGRAM, data, directory, eatmydata, skipped};

/// The calls that are looked at. Those of eatmydata that it takes away are among them.
const CALLS: &str = "trace=write,pwrite64,writev,pwritev,sendto,sendmsg,fsync,fdatasync,syncfs,?rename,renameat,renameat2,\
                     ?link,linkat,?unlink,unlinkat,?mkdir,mkdirat";
/// How many clients write at the same time, and how often each does its four writes.
const CLIENTS: usize = 6;
const WRITES: usize = 3;
/// How many documents one of these writes puts, so that `fs` syncs them together.
const TOGETHER: usize = 10;

/// The calls of a server while something is done with it.
fn traced<T>(
    start: &Start,
    directory: &Path,
    work: impl FnOnce(&delta_tests::server::Server) -> T,
) -> (Vec<Called>, T) {
    let server = start.up();
    let arguments: Vec<OsString> = ["-yy", "-s", "32", "-e", CALLS].map(OsString::from).into();
    let attached = Attached::to(server.id(), &arguments, &directory.join("trace")).unwrap();
    let done = work(&server);
    let trace = attached.detach();
    drop(server.stop());
    (calls(&trace), done)
}

/// What a client wrote. It asks for something else, so that its last write has been seen to the end.
fn writes_of(client: &mut Client, wrote: Vec<Wrote>) -> Writes {
    client.get("/health").expect(200);
    Writes { port: client.port().unwrap(), wrote }
}

/// Whether `fs` syncs the whole file system of a directory at once, by its kind as `stat` names it.
fn is_synced_together(directory: &Path) -> bool {
    let kind = Command::new("stat").args(["-f", "-c", "%T"]).arg(directory).output().unwrap();
    ["ext2/ext3", "xfs", "btrfs", "f2fs", "tmpfs"].contains(&String::from_utf8(kind.stdout).unwrap().trim())
}

/// The script, one write after the other.
fn one_after_the_other(start: &Start, directory: &Path) -> (Vec<Called>, Writes) {
    traced(start, directory, |server| {
        let (mut writer, mut reader) = (server.admin(), server.admin());
        let mut wrote = Vec::new();
        for operation in script() {
            let request = operation.request(&mut reader).unwrap().unwrap();
            let answer = writer.send(&request);
            assert!(answer.status < 300, "{answer:?}");
            // The script deletes one entity that was never there.
            wrote.push(if operation.changes() { Wrote::Whatever } else { Wrote::Nothing });
        }
        writes_of(&mut writer, wrote)
    })
}

/// Clients that write at the same time, each its own keys: what they do may share syncs.
fn at_the_same_time(start: &Start, directory: &Path) -> (Vec<Called>, Vec<Writes>) {
    let file = |key: &str| format!("shared_{key}.json.enc");
    let write = |client: &mut Client, number: usize| {
        let mut wrote = Vec::new();
        let mut done = |answer: Response, what| {
            assert!(answer.status < 300, "{answer:?}");
            wrote.push(what);
        };
        let many: Vec<_> = (0..TOGETHER).map(|at| format!("c{number}-many{at}")).collect();
        for at in 0..WRITES {
            let (key, x) = (format!("c{number}-{}", at % 2), &many[0]);
            let put = client.put(&format!("/entity/shared/{key}"), at.to_string());
            done(put, Wrote::Put(vec![file(&key)]));
            let map: BTreeMap<_, _> = many.iter().map(|key| (key, at)).collect();
            let put = client.put("/entity/shared", serde_json::to_string(&map).unwrap());
            done(put, Wrote::Put(many.iter().map(|key| file(key)).collect()));
            done(client.delete(&format!("/entity/shared/{x}")), Wrote::Deleted(file(x)));
            done(client.delete(&format!("/entity/shared/{x}")), Wrote::Gone("/files"));
        }
        writes_of(client, wrote)
    };
    traced(&start.clone().arg("--names=plain"), directory, |server| {
        thread::scope(|scope| {
            let clients = (0..CLIENTS).map(|number| {
                let mut client = server.admin();
                scope.spawn(move || write(&mut client, number))
            });
            let clients: Vec<_> = clients.collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        })
    })
}

/// What the trace shows to be wrong once the syncs of one file or directory before one answer are left out: the number of
/// such mutations, and those that nobody noticed.
fn without_syncs(calls: &[Called], storage: Storage, writes: &Writes) -> (usize, Vec<String>) {
    let answers: Vec<usize> = answers(calls, writes.port).iter().map(|answer| answer.begun).collect();
    let before = |call: &Called| answers.iter().position(|answer| call.begun < *answer);
    // Where the whole file system is synced, what is synced for itself beforehand does not count.
    let whole: BTreeSet<_> = calls.iter().filter(|call| call.name == "syncfs").filter_map(before).collect();
    let mutation = |call: &Called| {
        let sync = ["fsync", "fdatasync", "syncfs"].contains(&call.name.as_str());
        let needed = before(call).filter(|answer| sync && writes.wrote[*answer] != Wrote::Nothing);
        let needed = needed.filter(|answer| call.name == "syncfs" || !whole.contains(answer));
        needed.map(|answer| (answer, call.descriptor().unwrap_or_default().to_owned()))
    };
    let mutations: BTreeSet<_> = calls.iter().filter_map(mutation).collect();
    let unnoticed = mutations.iter().filter(|left_out| {
        let rest: Vec<_> = calls.iter().filter(|call| mutation(call).as_ref() != Some(left_out)).cloned().collect();
        violations(&rest, storage, std::slice::from_ref(writes)).is_empty()
    });
    (mutations.len(), unnoticed.map(|(answer, path)| format!("{path} before answer {answer}")).collect())
}

#[test]
fn every_answer_comes_after_the_syncs_that_its_write_needs() {
    if let Some(why) = cannot_trace() {
        return skipped(&why);
    }
    for storage in STORAGES {
        let directory = directory();
        let start = storage.serve(PROGRAM, &data(&directory));
        let (calls, writes) = one_after_the_other(&start, directory.path());
        let wrong = violations(&calls, storage, std::slice::from_ref(&writes));
        assert!(wrong.is_empty(), "{storage:?}: {wrong:#?}");
        let (syncs, unnoticed) = without_syncs(&calls, storage, &writes);
        println!("{storage:?}: {syncs} files and directories synced for {} writes", writes.wrote.len());
        assert!(syncs >= writes.wrote.len() - 1, "{storage:?}: {syncs}");
        assert!(unnoticed.is_empty(), "{storage:?}: syncs that could be left out: {unnoticed:#?}");
    }
}

#[test]
fn writers_that_share_syncs_are_answered_after_them() {
    if let Some(why) = cannot_trace() {
        return skipped(&why);
    }
    for storage in STORAGES {
        let directory = directory();
        let start = storage.serve(PROGRAM, &data(&directory));
        let (calls, writes) = at_the_same_time(&start, directory.path());
        let wrong = violations(&calls, storage, &writes);
        assert!(wrong.is_empty(), "{storage:?}: {wrong:#?}");
        // On ext4 without a journal a sync of the whole leaves metadata in the disk's cache, and a sync of its directory does not.
        let all: Vec<_> = calls.iter().filter(|call| call.name == "syncfs").collect();
        let begun = all.iter().map(|call| call.ended).min();
        let of_root =
            |call: &&Called| call.name == "fsync" && all.iter().any(|all| all.descriptor() == call.descriptor());
        let after = calls.iter().filter(of_root).filter(|call| begun.is_some_and(|begun| call.begun > begun)).count();
        let shared = storage == Storage::Fs && is_synced_together(directory.path());
        assert_eq!(!all.is_empty(), shared, "{storage:?}: {}", all.len());
        assert!(after >= all.len(), "{storage:?}: {after} of {}", all.len());
    }
}

#[test]
fn a_server_whose_syncs_do_nothing_is_caught() {
    let why = cannot_trace().or_else(|| eatmydata().err());
    if let Some(why) = why {
        return skipped(&why);
    }
    for storage in STORAGES {
        let directory = directory();
        let start = storage.serve(PROGRAM, &data(&directory)).variable("LD_PRELOAD", eatmydata().unwrap());
        let (calls, writes) = one_after_the_other(&start, directory.path());
        let wrong = violations(&calls, storage, std::slice::from_ref(&writes));
        assert!(wrong.len() >= writes.wrote.len() - 1, "{storage:?}: {wrong:#?}");
    }
}

#[test]
fn calls_are_put_together_and_failed_ones_left_out() {
    let trace = "7 fdatasync(5</d/.t-1> <unfinished ...>\n8 rename(\"/d/a\", \"/d/b\") = 0\n\
                 7 <... fdatasync resumed>)        = 0\n7 fsync(3</d>) = -1 EIO (Input/output error) (INJECTED)\n\
                 8 unlinkat(6</d/e>, \"f\", 0) = 0\n7 write(9<TCP:[1.1.1.1:1->1.1.1.1:2]>, \"HTTP) = 1\", 9) = 9\n";
    let calls = calls(trace);
    let seen: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.begun, call.ended)).collect();
    assert_eq!(seen, [("rename", 1, 1), ("fdatasync", 0, 2), ("unlinkat", 4, 4), ("write", 5, 5)]);
    assert_eq!(calls[0].paths(), ["/d/a", "/d/b"]);
    assert_eq!(calls[1].descriptor(), Some("/d/.t-1"));
    assert_eq!(calls[2].paths(), ["/d/e/f"]);
    assert_eq!(calls[3].descriptor(), Some("TCP:[1.1.1.1:1->1.1.1.1:2]"));
}
