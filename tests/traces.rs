//! One request can be followed: by its trace id in the log, and by its spans at a collector.

mod collector;
mod lines;
mod spans;
mod workers;

/// A trace of a client's, and the client's own span in it.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{SPAN}-01")
}
