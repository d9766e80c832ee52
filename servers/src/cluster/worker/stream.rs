//! A worker's stream: tasks come down, answers go up, and both sides say that they live.

use std::sync::Arc;
use std::time::{Duration, Instant};

use delta_core::Error;
use delta_core::engine::Hands;
use delta_core::keys::SecretText;
use futures::poll;
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::Streaming;
use tonic::transport::Channel;
use tracing::Instrument;

use crate::cluster::worker::Trouble;
use crate::cluster::worker::currency::Currency;
use crate::cluster::worker::dial::bearer;
use crate::cluster::worker::work::{answer, not_begun};
use crate::cluster::{BEAT_INTERVAL, DRAIN_DEADLINE, MESSAGE_BYTES_MAX, SILENCE_MAX, wire};
use crate::grpc::api::delta::v1::answer::Outcome;
use crate::grpc::api::delta::v1::cluster_client::ClusterClient;
use crate::grpc::api::delta::v1::from_worker::Frame as Said;
use crate::grpc::api::delta::v1::task::Work as Asked;
use crate::grpc::api::delta::v1::to_worker::Frame;
use crate::grpc::api::delta::v1::{Answer, Draining, FromWorker, Task, ToWorker, WorkerBeat};
use crate::metrics::{Work, work};
use crate::trace;

/// How many answers wait for the connection.
const ANSWERS_MAX: usize = 1_024;
/// How many tasks are at work at a time; a main sends fewer.
const TASKS_MAX: usize = 4_096;

/// How long a renewal that failed waits at most before it is tried again.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// A token, and how long until it must be renewed.
type Lease = (SecretText, Duration);

/// What a task at work needs.
#[derive(Clone)]
struct Desk {
    hands: Hands,
    work: Arc<Work>,
    currency: Arc<Currency>,
    /// Has the worker subscribe at once.
    renewal: Arc<Notify>,
    out: mpsc::Sender<FromWorker>,
    tasks: TaskTracker,
}

impl Desk {
    /// Whether a task ended at a key that the store has got meanwhile, which is fetched now. Nothing was written then:
    /// whoever writes has opened or looked up what it replaces before.
    async fn lacks_a_key(&self, outcome: &Outcome) -> bool {
        let unknown = matches!(outcome, Outcome::Fault(fault) if fault.code == "unknown_key");
        let behind = unknown && self.currency.is_behind().await;
        if behind {
            self.renewal.notify_one();
        }
        behind
    }
}

/// Works until the stream is over; `Ok` after `stop`, once every task is answered.
pub(crate) async fn run(
    channel: &Channel,
    (hands, work, currency): (Hands, Arc<Work>, Arc<Currency>),
    lease: Lease,
    renew: impl AsyncFn(&SecretText) -> Result<Lease, Trouble>,
    begun: impl AsyncFnOnce(&mpsc::Sender<FromWorker>),
    stop: &CancellationToken,
) -> Result<(), Trouble> {
    let (out, mut frames) = mpsc::channel(ANSWERS_MAX);
    let frames = futures::stream::poll_fn(move |cx| frames.poll_recv(cx));
    let client = ClusterClient::new(channel.clone());
    let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
    let opened = client.work(bearer(frames, &lease.0)?).await;
    let down = opened.map_err(|status| passing(format!("the main took no stream: {}", status.message())))?.into_inner();
    begun(&out).await;
    let desk = Desk { hands, work, currency, renewal: Arc::default(), out, tasks: TaskTracker::new() };
    // In a task of its own, beside that of the connection: here it would be on the thread that waits for the process's end,
    // and each frame would have to wake that one, too.
    let listening = AbortOnDropHandle::new(tokio::spawn(listen(desk.clone(), down, stop.clone())));
    let down = tokio::select! {
        heard = listening => heard.unwrap_or_else(|_| Err(passing("the worker could not listen"))),
        Err(trouble) = beat(&desk) => Err(trouble),
        trouble = keep_renewing(&desk, lease, renew) => Err(trouble),
    };
    leave(desk, down?).await;
    Ok(())
}

fn passing(message: impl Into<String>) -> Trouble {
    Trouble::Passing(Error::unavailable(message))
}

/// Takes tasks until the main says which was the last; gives the stream back then.
async fn listen(
    desk: Desk,
    mut down: Streaming<ToWorker>,
    stop: CancellationToken,
) -> Result<Streaming<ToWorker>, Trouble> {
    let mut lag = Lag::default();
    let mut asked_to_drain = false;
    loop {
        let frame = tokio::select! {
            biased;
            () = stop.cancelled(), if !asked_to_drain => {
                asked_to_drain = true;
                say(&desk, Said::Draining(Draining {})).await?;
                continue;
            }
            frame = tokio::time::timeout(SILENCE_MAX, down.message()) => frame,
        };
        let Ok(frame) = frame else { return Err(passing("the main is silent")) };
        let frame = frame.map_err(|status| passing(format!("the stream broke: {}", status.message())))?;
        let Some(frame) = frame else { return Err(passing("the main has ended the stream")) };
        let age = lag.age(frame.said_ms);
        match frame.frame {
            Some(Frame::Task(task)) => take(&desk, task, age).await?,
            Some(Frame::LastTask(_)) => return Ok(down),
            Some(Frame::KeysChanged(_)) => desk.renewal.notify_one(),
            // What a later version says, it can do without.
            Some(Frame::Beat(_)) | None => {}
        }
    }
}

/// Has a task done, unless nobody waits for it any more.
async fn take(desk: &Desk, task: Task, age: Duration) -> Result<(), Trouble> {
    let (id, most) = (task.id, Duration::from_millis(task.timeout_ms.into()));
    let is_read = matches!(task.work, Some(Asked::Get(_)));
    if age >= most || desk.tasks.len() >= TASKS_MAX {
        desk.work.begin(task.work.as_ref()).ended("not_begun");
        let outcome = Some(not_begun("it came too late, or the worker has too much to do"));
        return say(desk, Said::Answer(Answer { id, outcome })).await;
    }
    let this = desk.clone();
    let span = trace::incoming(&task.traceparent);
    let of = span.clone();
    let done = async move {
        let (counted, kind) = (this.work.begin(task.work.as_ref()), work::kind(task.work.as_ref()));
        let outcome = answer(&this.hands, task).await;
        let outcome =
            if this.lacks_a_key(&outcome).await { not_begun("the store's keys have changed") } else { outcome };
        let name = work::outcome(&outcome);
        counted.ended(name);
        tracing::debug!(task = kind, outcome = name, "a task was done");
        let code = i32::from(wire::code(&outcome));
        trace::answered(&of, format_args!("task {kind}"), ("rpc.grpc.status_code", code.into()), is_failure(name));
        // Nobody hears it if the stream is over.
        drop(say(&this, Said::Answer(Answer { id, outcome: Some(outcome) })).await);
    };
    let mut done = Box::pin(desk.tasks.track_future(done.instrument(span)));
    // What memory has is answered here: a task of its own would be one more thread to wake.
    if !is_read || poll!(&mut done).is_pending() {
        tokio::spawn(done);
    }
    Ok(())
}

/// Whether an outcome is the store's fault and not the caller's.
fn is_failure(outcome: &str) -> bool {
    ["internal", "damaged", "unavailable", "outcome_unknown"].contains(&outcome)
}

async fn say(desk: &Desk, said: Said) -> Result<(), Trouble> {
    let sent = desk.out.send(FromWorker { frame: Some(said) }).await;
    sent.map_err(|_| passing("the stream is over"))
}

/// Says that the worker lives, and how it is.
async fn beat(desk: &Desk) -> Result<(), Trouble> {
    let mut interval = tokio::time::interval(BEAT_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let cache = desk.hands.stats().cache;
        let beat = WorkerBeat {
            active: desk.tasks.len() as u64,
            cache_hits: cache.hits,
            cache_misses: cache.misses,
            cache_evictions: cache.evictions,
            cache_entries: cache.entries,
            cache_bytes: cache.bytes,
        };
        say(desk, Said::Beat(beat)).await?;
    }
}

/// Subscribes again before the token ends, for as long as the stream lasts.
async fn keep_renewing(
    desk: &Desk,
    mut lease: Lease,
    renew: impl AsyncFn(&SecretText) -> Result<Lease, Trouble>,
) -> Trouble {
    loop {
        let lifetime = lease.1;
        drop(tokio::time::timeout(lifetime / 2, desk.renewal.notified()).await);
        // What fails for the moment is tried again while there is time; then the main ends the stream.
        lease = loop {
            match renew(&lease.0).await {
                Ok(renewed) => break renewed,
                Err(Trouble::Lasting(error)) => return Trouble::Lasting(error),
                Err(Trouble::Passing(error)) => {
                    tracing::warn!(%error, "the worker's token could not be renewed yet");
                    tokio::time::sleep((lifetime / 12).min(RETRY_MAX)).await;
                }
            }
        };
        if let Err(trouble) = say(desk, Said::RenewedToken(lease.0.expose().to_owned())).await {
            return trouble;
        }
    }
}

/// Ends what is at work, and then the stream: the main has every answer before it hears of the end.
async fn leave(desk: Desk, mut down: Streaming<ToWorker>) {
    let Desk { out, tasks, .. } = desk;
    tasks.close();
    let ended = async {
        tasks.wait().await;
        drop(out);
        while let Ok(Some(_)) = down.message().await {}
    };
    if tokio::time::timeout(DRAIN_DEADLINE, ended).await.is_err() {
        tracing::warn!("some tasks did not end in {DRAIN_DEADLINE:?}; they go on without an answer");
    }
}

/// How long what the main says is under way, without trusting either clock's date.
///
/// The fastest word so far tells how the two clocks stand to each other; whatever is later than that was held up. So a
/// worker that was stopped for a while knows it of the tasks that waited for it.
#[derive(Debug)]
struct Lag {
    began: Instant,
    fastest_ms: Option<i64>,
}

impl Default for Lag {
    fn default() -> Self {
        Self { began: Instant::now(), fastest_ms: None }
    }
}

impl Lag {
    fn age(&mut self, said_ms: u64) -> Duration {
        let now = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.age_at(now, said_ms)
    }

    fn age_at(&mut self, now_ms: i64, said_ms: u64) -> Duration {
        let took = now_ms.saturating_sub(i64::try_from(said_ms).unwrap_or(i64::MAX));
        let fastest = self.fastest_ms.map_or(took, |fastest| fastest.min(took));
        self.fastest_ms = Some(fastest);
        Duration::from_millis(u64::try_from(took.saturating_sub(fastest)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_while_the_worker_stood_still_is_old() {
        let mut lag = Lag::default();
        let mut age = |now, said| lag.age_at(now, said).as_millis();
        assert_eq!(age(1_000, 7_000), 0, "nothing is known yet");
        assert_eq!(age(1_500, 7_480), 20);
        assert_eq!(age(1_900, 7_901), 0, "the fastest so far");
        assert_eq!(age(12_000, 8_000), 10_001, "said before ten seconds of standing still");
        assert_eq!(age(12_001, 18_000), 2);
    }
}
