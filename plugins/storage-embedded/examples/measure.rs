//! Measures the storage by itself: `measure <directory> latency | throughput <clients> | reads | fill <objects> | open`.
//!
//! `fill` ends without closing, as a killed process does; `open` then says how long recovery takes, how much memory it
//! needs and how long a listing of every name takes.

#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool for people to run")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use delta_core::conformance;
use delta_core::storage::{Expect, Group, Object, ObjectName, Space, Storage, Write};
use delta_storage_embedded::{Config, EmbeddedStorage};
use futures::StreamExt;

const BODY_BYTES: usize = 300;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = Path::new(&arguments[0]);
    let number = |at: usize, default: u64| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let started = Instant::now();
    let mut config = Config::new(directory);
    if let Ok(mib) = std::env::var("BUFFER_MIB") {
        config.write_buffer_bytes = mib.parse::<u64>().unwrap() << 20;
    }
    let storage = Arc::new(EmbeddedStorage::open(&config).unwrap());
    println!("open            {:?}, {} MiB resident", started.elapsed(), resident_mib());
    let objects: Arc<Vec<Object>> = Arc::new((0..1024).map(|seed| conformance::object(seed, BODY_BYTES)).collect());
    match arguments[1].as_str() {
        "latency" => latency(&storage, &objects, directory).await,
        "throughput" => throughput(&storage, &objects, number(2, 64), Duration::from_secs(number(3, 5))).await,
        "reads" => reads(&storage, &objects).await,
        "fill" => fill(&storage, &objects, number(2, 1_000_000)).await,
        "open" => list(&storage).await,
        other => println!("unknown: {other}"),
    }
}

fn name(number: u64) -> ObjectName {
    // As spread and as long as a sealed name.
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    conformance::name(Space::Entities, "0123abcd", &format!("{mixed:016x}{number:040}"))
}

async fn latency(storage: &EmbeddedStorage, objects: &[Object], directory: &Path) {
    let mut nanos = Vec::new();
    for number in 0..20_000 {
        let (name, object) = (name(number), &objects[number as usize % objects.len()]);
        let started = Instant::now();
        storage.put(&name, object, &Expect::Absent).await.unwrap();
        nanos.push(started.elapsed());
    }
    print_percentiles("put", &mut nanos);
    let mut nanos = Vec::new();
    let mut file = std::fs::File::create(directory.join("flushed")).unwrap();
    for _ in 0..20_000 {
        std::io::Write::write_all(&mut file, &[7; 600]).unwrap();
        let started = Instant::now();
        file.sync_data().unwrap();
        nanos.push(started.elapsed());
    }
    print_percentiles("fdatasync", &mut nanos);
    std::fs::remove_file(directory.join("flushed")).unwrap();
}

async fn throughput(storage: &Arc<EmbeddedStorage>, objects: &Arc<Vec<Object>>, clients: u64, time: Duration) {
    let started = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let (storage, objects) = (storage.clone(), objects.clone());
            tokio::spawn(async move {
                let mut nanos = Vec::new();
                for number in 0.. {
                    let name = name(client << 32 | number);
                    let now = Instant::now();
                    storage.put(&name, &objects[number as usize % objects.len()], &Expect::Absent).await.unwrap();
                    nanos.push(now.elapsed());
                    if started.elapsed() > time {
                        break;
                    }
                }
                nanos
            })
        })
        .collect();
    let mut nanos = Vec::new();
    for task in tasks {
        nanos.extend(task.await.unwrap());
    }
    println!("throughput      {:.0} puts/s", nanos.len() as f64 / started.elapsed().as_secs_f64());
    print_percentiles("put", &mut nanos);
    println!("resident        {} MiB", resident_mib());
}

async fn reads(storage: &EmbeddedStorage, objects: &[Object]) {
    for number in 0..10_000 {
        storage.put(&name(number), &objects[number as usize % objects.len()], &Expect::Anything).await.unwrap();
    }
    for (what, from) in [("get, fresh", 0), ("get, absent", 1 << 40), ("get, older", 100_000)] {
        let mut nanos = Vec::new();
        for number in 0..10_000 {
            let name = name(from + number * 7919 % 10_000);
            let started = Instant::now();
            storage.get(&name).await.unwrap();
            nanos.push(started.elapsed());
        }
        print_percentiles(what, &mut nanos);
    }
}

async fn fill(storage: &EmbeddedStorage, objects: &[Object], count: u64) {
    let started = Instant::now();
    for from in (0..count).step_by(500) {
        let writes = (from..count.min(from + 500)).map(|number| Write {
            name: name(number),
            object: Some(objects[number as usize % objects.len()].clone()),
            expect: Expect::Absent,
        });
        storage.write_batch(writes.collect()).await.unwrap();
    }
    println!("fill            {:?}, {} MiB resident", started.elapsed(), resident_mib());
    std::process::abort();
}

async fn list(storage: &EmbeddedStorage) {
    let started = Instant::now();
    let group = Group::new("0123abcd");
    let count =
        storage.list(Space::Entities, &group).fold(0, async |count, listed| count + usize::from(listed.is_ok()));
    println!("list            {} names in {:?}, {} MiB resident", count.await, started.elapsed(), resident_mib());
}

fn print_percentiles(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what:<15} p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100));
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
