//! A load generator, and the product's speed compared with what its parts cost, side by side in one run.
//!
//! Linux only: the generator waits with epoll, and figures come from `/proc`.

#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]

mod bare;
mod bare_fs;
mod bare_grpc;
mod compare;
mod disk;
mod grpc;
mod load;
mod machine;
mod process;
mod request;
mod response;
mod stats;
mod table;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::compare::{Bench, Pace, get, latency, million, published, put, seal};
use crate::load::Plan;
use crate::machine::Watch;
use crate::request::{Keys, Requests, Url, document, documents};
use crate::table::Row;

/// Compares DeltaDatabase with what its parts cost, and generates load by hand.
#[derive(Debug, Parser)]
#[command(name = "delta-bench")]
struct Cli {
    #[command(subcommand)]
    command: Subject,
    /// The server to measure [default: built with the profile bench, beside this program]
    #[arg(long, global = true, value_name = "FILE")]
    deltadb: Option<PathBuf>,
    /// Where data is written meanwhile; it must be on a disk [default: beside this program]
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    /// How often each side has its turn
    #[arg(long, global = true, default_value_t = 3)]
    rounds: usize,
    /// How long a turn is
    #[arg(long, global = true, default_value_t = 3.0)]
    seconds: f64,
    /// How many entities `million` has
    #[arg(long, global = true, default_value_t = 1_000_000)]
    entities: u64,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Every comparison
    All,
    /// Cached GET against a bare poem handler, 64 connections
    Get,
    /// Cached gRPC GET against a bare tonic service, 64 calls
    Grpc,
    /// Durable PUT against Redis, 64 connections
    Put,
    /// Storage fs: durable writes against a loop of the same calls, checked reads against embedded
    Fs,
    /// A main and one worker against `serve` on the same storage, and a worker's stream against unary tonic
    Cluster,
    /// GET and PUT at 1 connection
    Latency,
    /// Sealing and opening 1 KiB
    Seal,
    /// The rows of the table that was published of the product before this one
    Published,
    /// Restart and memory with a million entities
    Million,
    /// Load on any URL
    Load(LoadArgs),
    /// Run the bare poem server, or with --grpc the bare tonic one
    Bare {
        #[arg(long)]
        grpc: bool,
        #[arg(long, default_value = "127.0.0.1:8081")]
        addr: SocketAddr,
        #[arg(long, default_value_t = 300)]
        document_bytes: usize,
    },
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// Where to, for example http://127.0.0.1:8080/entity/bench/{key}
    #[arg(long)]
    url: String,
    /// Send PUTs, not GETs
    #[arg(long)]
    put: bool,
    /// PUT maps of this many documents (then the URL is that of a database)
    #[arg(long, value_name = "COUNT", requires = "put")]
    map: Option<usize>,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Stop after this many requests, not after --seconds
    #[arg(long, value_name = "COUNT")]
    requests: Option<u64>,
    /// How many different keys
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    #[arg(long, default_value_t = 300)]
    document_bytes: usize,
    /// The credential
    #[arg(long, env = "DELTADB_TOKEN", default_value = "", hide_env_values = true)]
    token: String,
    /// A status that is as good as 200 and 201
    #[arg(long)]
    status: Vec<u16>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match &cli.command {
        Subject::Load(args) => return load_by_hand(args, cli.seconds),
        Subject::Bare { grpc: true, addr, document_bytes } => return bare_grpc::run(*addr, *document_bytes),
        Subject::Bare { grpc: false, addr, document_bytes } => return bare::run(*addr, *document_bytes),
        _ => {}
    }
    let rows = compare(&cli)?;
    println!("{}", table::render(&rows));
    Ok(())
}

fn compare(cli: &Cli) -> Result<Vec<Row>> {
    ensure!(cli.rounds > 0, "--rounds must be 1 or more");
    let beside = std::env::current_exe()?.parent().map(Path::to_path_buf).context("this program lies nowhere")?;
    let deltadb = match &cli.deltadb {
        Some(deltadb) => deltadb.clone(),
        None if matches!(cli.command, Subject::Seal) => PathBuf::new(),
        None => built(&beside)?,
    };
    let parent = cli.dir.clone().unwrap_or_else(|| beside.join("bench-data"));
    let bench = Bench::new(deltadb, &parent, Pace { rounds: cli.rounds, seconds: cli.seconds })?;
    let watch = Watch::start()?;
    let all = matches!(cli.command, Subject::All);
    let mut rows = Vec::new();
    for (chosen, subject) in [
        (matches!(cli.command, Subject::Get), get::compare as fn(&Bench) -> Result<Vec<Row>>),
        (matches!(cli.command, Subject::Grpc), compare::grpc::compare),
        (matches!(cli.command, Subject::Latency), latency::compare),
        (matches!(cli.command, Subject::Put), put::compare),
        (matches!(cli.command, Subject::Fs), compare::fs::compare),
        (matches!(cli.command, Subject::Cluster), compare::cluster::compare),
        (matches!(cli.command, Subject::Seal), seal::compare),
        (matches!(cli.command, Subject::Published), published::compare),
    ] {
        if all || chosen {
            rows.extend(subject(&bench)?);
        }
    }
    if all || matches!(cli.command, Subject::Million) {
        rows.extend(million::compare(&bench, cli.entities)?);
    }
    println!("\n{}", watch.others()?);
    Ok(rows)
}

/// Builds the server as this program was built, so that neither side of a comparison has the better compiler.
fn built(beside: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--locked", "--profile", "bench", "-p", "delta-server", "--bin", "deltadb"];
    let status = Command::new(cargo).args(build).status().context("cannot run cargo; name a server with --deltadb")?;
    ensure!(status.success(), "the server does not build");
    let deltadb = beside.join("deltadb");
    ensure!(
        deltadb.is_file(),
        "{} is missing: run this program with `cargo run --profile bench -p delta-bench`, or name a server with --deltadb",
        deltadb.display()
    );
    Ok(deltadb)
}

fn load_by_hand(args: &LoadArgs, seconds: f64) -> Result<()> {
    ensure!(args.connections > 0 && args.keys > 0, "--connections and --keys must be 1 or more");
    let url = Url::parse(&args.url)?;
    let body = args.put.then(|| match args.map {
        Some(count) => documents(count, args.document_bytes),
        None => document(args.document_bytes),
    });
    let mut requests = Requests::new(&url, &args.token, body.as_deref(), Keys::Random(args.keys));
    let plan = match args.requests {
        Some(requests) => Plan::of_requests(args.connections, requests),
        None => Plan::of_seconds(args.connections, seconds),
    };
    let statuses: Vec<u16> = args.status.iter().copied().chain([200, 201]).collect();
    println!("{}", load::run(url.addr, &mut requests, &statuses, plan)?);
    Ok(())
}
