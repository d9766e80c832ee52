//! Logs: one line an event on standard error, as text or JSON; `RUST_LOG` selects what.
//!
//! Whatever it says, only our own code logs below INFO: what the libraries under HTTP, TLS and RPC print there is theirs to
//! decide, and may be a header with a credential or a part of a document.

use std::io::IsTerminal;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::LogFormat;
use crate::otlp::Otlp;
use crate::trace;

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT: &str = "warn,delta_server=info";
/// How the names of our own crates begin.
const OURS: &str = "delta_";

/// Starts logging, and sends spans where somebody collects them; a second start changes nothing.
pub(crate) fn start(format: LogFormat, otlp: Option<&Otlp>) {
    let wanted = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let lines = subscriber(wanted, format, std::io::stderr().is_terminal(), std::io::stderr);
    // A layer that is none would still have every span made that any library has.
    drop(match otlp {
        None => lines.try_init(),
        Some(otlp) => lines.with(spans(otlp)).try_init(),
    });
}

/// What sends spans: those of ours only, and nothing that is logged in them.
fn spans<S>(otlp: &Otlp) -> impl Layer<S>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    let ours = |found: &Metadata<'_>| found.is_span() && found.target().starts_with(trace::TARGET);
    let layer = tracing_opentelemetry::layer().with_tracer(otlp.tracer()).with_location(false);
    layer.with_threads(false).with_tracked_inactivity(false).with_target(false).with_filter(filter_fn(ours))
}

fn subscriber<W>(
    wanted: EnvFilter,
    format: LogFormat,
    ansi: bool,
    writer: W,
) -> impl Subscriber + for<'s> LookupSpan<'s> + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_ansi(ansi).with_writer(writer);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(wanted.and(filter_fn(is_safe))))
}

/// Whether we know what such an event can hold.
fn is_safe(event: &Metadata<'_>) -> bool {
    event.target().starts_with(OURS) || *event.level() <= Level::INFO
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(wanted: &str, format: LogFormat, events: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = subscriber(EnvFilter::new(wanted), format, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn libraries_never_log_what_nobody_here_has_read() {
        for wanted in ["trace", "trace,h2=trace,hyper=debug"] {
            for format in [LogFormat::Text, LogFormat::Json] {
                let text = logged(wanted, format, || {
                    let _span = tracing::debug_span!(target: "h2::codec", "frame", header = "in-a-span").entered();
                    tracing::trace!(target: "h2::hpack", "a header");
                    tracing::debug!(target: "hyper::proto", "a body");
                    tracing::debug!(target: "rustls::server", "a handshake");
                    tracing::info!(target: "hyper::proto", "theirs");
                    tracing::trace!("ours");
                });
                assert_eq!(text.lines().count(), 2, "{text}");
                assert!(text.contains("theirs") && text.contains("ours") && !text.contains("in-a-span"), "{text}");
            }
        }
    }

    #[test]
    fn less_is_logged_by_default() {
        let text = logged(DEFAULT, LogFormat::Text, || {
            tracing::debug!("too much");
            tracing::info!("of the server");
            tracing::info!(target: "hyper", "of others");
            tracing::warn!(target: "delta_core", "of all");
        });
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
