//! Whose request a log line is about: a trace id of the client's (W3C Trace Context, level 1), or one made here.
//!
//! A request's span carries it into every line that is logged on the request's way, and to a collector where there is one.
//! The surprise: a read that nobody traces has no span, because a span costs as much as a tenth of an answer from memory;
//! should such a read fail, the line that says so makes an id.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use tracing::{Level, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

/// The header that carries it.
const HEADER: &str = "traceparent";
/// The length of the header's value in its only version; later ones are longer.
const VERSION_0_BYTES: usize = 55;

/// The target of the spans here.
pub(crate) const TARGET: &str = "delta_server::trace";

/// Whether spans go to a collector.
static EXPORTING: AtomicBool = AtomicBool::new(false);

/// From now on spans go to a collector.
pub(crate) fn export() {
    EXPORTING.store(true, Ordering::Relaxed);
}

fn is_exporting() -> bool {
    EXPORTING.load(Ordering::Relaxed)
}

/// The span of a request; none for a read that nobody traces. It lasts until its last clone is dropped.
pub(crate) fn request(headers: &HeaderMap, is_read: bool) -> Span {
    let given = headers.get(HEADER).and_then(|value| Parent::parse(value.to_str().ok()?));
    let given = given.filter(|_| headers.get_all(HEADER).iter().count() == 1);
    if is_exporting() {
        return exported(given);
    }
    if is_read && given.is_none() && !tracing::enabled!(Level::DEBUG) {
        return Span::none();
    }
    noted(given.unwrap_or_else(Parent::fresh))
}

/// What another process is told of the trace of this moment's request; nothing where nobody follows it.
pub(crate) fn outgoing() -> String {
    current().map_or_else(String::new, |parent| parent.to_string())
}

/// The trace of this moment's request, else one that is made here.
pub(crate) fn id() -> TraceId {
    current().map_or_else(fresh, |parent| parent.trace)
}

fn current() -> Option<Parent> {
    let span = Span::current();
    if span.is_none() {
        return None;
    }
    if is_exporting() {
        return Parent::of(span.context().span().span_context());
    }
    let noted = span.with_subscriber(|(id, subscriber)| {
        let registry = subscriber.downcast_ref::<Registry>()?;
        // The innermost that is a request's.
        registry.span(id)?.scope().find_map(|span| span.extensions().get::<Parent>().copied())
    });
    noted.flatten()
}

/// A span that knows whose it is.
fn noted(parent: Parent) -> Span {
    // At this level it is there whenever anything is logged.
    let span = tracing::error_span!("request", trace_id = %parent.trace);
    span.with_subscriber(|(id, subscriber)| {
        let known = subscriber.downcast_ref::<Registry>().and_then(|registry| registry.span(id));
        known.map(|known| known.extensions_mut().replace(parent))
    });
    span
}

/// The span of what another process asks for in the course of a request; none where nobody follows that.
pub(crate) fn incoming(traceparent: &str) -> Span {
    let given = Parent::parse(traceparent);
    match (is_exporting(), given) {
        (true, given) => exported(given),
        (false, Some(given)) => noted(given),
        (false, None) => Span::none(),
    }
}

/// The same with what a collector is told besides.
fn exported(given: Option<Parent>) -> Span {
    let span = tracing::error_span!("request", trace_id = field::Empty, otel.kind = "server");
    if let Some(given) = given {
        let (state, flags) = (TraceState::default(), TraceFlags::new(given.flags));
        let parent = SpanContext::new(given.trace, given.span, flags, true, state);
        drop(span.set_parent(Context::new().with_remote_span_context(parent)));
    }
    let id = span.context().span().span_context().trace_id();
    span.record("trace_id", field::display(id));
    span
}

/// Tells a collector what a request was for and what became of it.
pub(crate) fn answered(span: &Span, name: impl fmt::Display, status: (&'static str, i64), failed: bool) {
    if span.is_none() || !is_exporting() {
        return;
    }
    let (context, (attribute, code)) = (span.context(), status);
    // Asked for its trace, the span has begun: its fields do not change it any more.
    let begun = context.span();
    begun.update_name(name.to_string());
    begun.set_attribute(KeyValue::new(attribute, code));
    if failed {
        begun.set_status(Status::error(""));
    }
}

/// The span of a part of a request, for a collector only.
pub(crate) fn part(name: &'static str) -> Span {
    match is_exporting() {
        true => tracing::error_span!("part", otel.name = name),
        false => Span::none(),
    }
}

/// A trace id for a line of a request that has no span.
pub(crate) fn late() -> Option<field::DisplayValue<TraceId>> {
    Span::current().is_none().then(|| field::display(fresh()))
}

fn fresh() -> TraceId {
    let mut id = [0; 16];
    drop(delta_core::keys::fill_random(&mut id));
    TraceId::from_bytes(id)
}

/// What a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parent {
    trace: TraceId,
    span: SpanId,
    flags: u8,
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl Parent {
    /// A trace that begins here.
    fn fresh() -> Self {
        let mut span = [0; 8];
        drop(delta_core::keys::fill_random(&mut span));
        Self { trace: fresh(), span: SpanId::from_bytes(span), flags: 0 }
    }

    fn of(context: &SpanContext) -> Option<Self> {
        let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags().to_u8());
        context.is_valid().then_some(Self { trace, span, flags })
    }

    /// Reads a header's value; one that is not right counts as none.
    fn parse(value: &str) -> Option<Self> {
        let (known, rest) = value.split_at_checked(VERSION_0_BYTES)?;
        let fields: Vec<&str> = known.split('-').collect();
        let [version, trace, span, flags] = fields.as_slice() else { return None };
        let whole = if *version == "00" { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
        let sized = [version, trace, span, flags].map(|field| field.len()) == [2, 32, 16, 2];
        let plain = known.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        if !whole || !sized || !plain || *version == "ff" {
            return None;
        }
        let parent = Self {
            trace: TraceId::from_hex(trace).ok()?,
            span: SpanId::from_hex(span).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (parent.trace != TraceId::INVALID && parent.span != SpanId::INVALID).then_some(parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        let expected =
            Parent { trace: TraceId::from_hex(TRACE).unwrap(), span: SpanId::from_hex(SPAN).unwrap(), flags: 1 };
        for good in
            [format!("00-{TRACE}-{SPAN}-01"), format!("cc-{TRACE}-{SPAN}-01"), format!("cc-{TRACE}-{SPAN}-01-what")]
        {
            assert_eq!(Parent::parse(&good), Some(expected), "{good}");
        }
        for bad in [
            String::new(),
            TRACE.to_owned(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-what"),
            format!("cc-{TRACE}-{SPAN}-01.what"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-{TRACE}{SPAN}--01"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("0é-{TRACE}-{SPAN}-1"),
        ] {
            assert_eq!(Parent::parse(&bad), None, "{bad}");
        }
    }
}
