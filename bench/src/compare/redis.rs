//! Redis is measured by its own generator, `redis-benchmark`.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::compare::{DOCUMENT_BYTES, Turn};
use crate::process::Server;

/// This many SETs of as many bytes as our documents have, over as many keys.
pub(super) fn set(server: &Server, connections: usize, requests: u64) -> Result<Turn> {
    let [port, clients, bytes] = [usize::from(server.addr.port()), connections, DOCUMENT_BYTES].map(|n| n.to_string());
    let output = Command::new("redis-benchmark")
        .args(["-p", &port, "-c", &clients, "-d", &bytes, "-n", &requests.to_string()])
        .args(["-r", "100000", "-t", "set", "--csv"])
        .output()
        .context("cannot run redis-benchmark")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "redis-benchmark failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    parse(&text).with_context(|| format!("redis-benchmark printed something else: {text}"))
}

/// The columns of `--csv`: test, requests a second, then latencies in milliseconds: mean, least, p50, …
fn parse(text: &str) -> Option<Turn> {
    let line = text.lines().find(|line| line.starts_with("\"SET\""))?;
    let number = |column: usize| line.split(',').nth(column)?.trim_matches('"').parse::<f64>().ok();
    Some(Turn { per_second: number(1)?, p50_micros: number(4)? * 1_000.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_set_is_read() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\"\n\
                    \"SET\",\"128205.13\",\"0.454\",\"0.136\",\"0.407\",\"0.751\"\n";
        let turn = parse(text).unwrap();
        assert_eq!((turn.per_second as u64, turn.p50_micros as u64), (128_205, 407));
        assert!(parse("SET: 1 requests per second").is_none());
    }
}
