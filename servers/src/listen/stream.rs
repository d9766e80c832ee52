//! A connection's bytes: what they say about its activity, and an end that lets the client read its answer.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::listen::activity::{Activity, Phase};

/// How much of what a client still sends after its answer is read and thrown away.
const LINGER_BYTES_MAX: usize = 16 << 20;
/// How much of it is read at a time.
const LINGER_CHUNK_BYTES: usize = 16 << 10;

/// Up to this many bytes in several pieces are joined before they are written: the kernel is faster with one piece.
const JOINED_BYTES_MAX: usize = 2 << 10;

/// What bytes go over.
pub(crate) type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A stream that keeps its connection's record.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: Transport,
    activity: Arc<Activity>,
    /// What was read and not used.
    unread: Bytes,
    /// Whether everything that came has been read, so that the socket tells when there is more.
    drained: bool,
    /// What is left of an answer of ours that takes the place of hyper's own.
    refusal: Option<Bytes>,
    /// How much was thrown away; `None` before the writing side was closed.
    lingered: Option<usize>,
}

impl Watched {
    /// A stream and its record.
    pub(crate) fn new(stream: Transport, activity: Arc<Activity>) -> Self {
        // A TLS handshake may have read the beginning of a request, too.
        let drained = matches!(stream, Either::Left(_));
        Self { stream, activity, unread: Bytes::new(), drained, refusal: None, lingered: None }
    }

    /// The same stream with bytes to be read before its own: the beginning of a request.
    pub(crate) fn with_unread(mut self, unread: Bytes) -> Self {
        // Bytes that are empty may still hold a buffer.
        if unread.has_remaining() {
            self.activity.received(unread.len());
            self.unread = unread;
        }
        self
    }

    /// Waits until there is something to read, or an end; `false` if the connection is to leave instead.
    pub(crate) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.activity.is_leaving() {
            return Poll::Ready(false);
        }
        if !self.drained {
            return Poll::Ready(true);
        }
        let stream = match &self.stream {
            Either::Left(stream) => stream,
            Either::Right(stream) => stream.get_ref().0,
        };
        // An error is found by whoever reads.
        ready!(stream.poll_read_ready(cx)).ok();
        self.activity.wake();
        Poll::Ready(true)
    }

    /// Writes our answer in the place of hyper's, which knows nothing but a status.
    ///
    /// What is written while no request is being served is hyper's answer to one it could not parse.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, theirs: &[u8]) -> Poll<io::Result<()>> {
        let ours = self.refusal.get_or_insert_with(|| crate::rest::refusal::malformed(theirs));
        while ours.has_remaining() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, ours))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            ours.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn refuses(&self) -> bool {
        !self.activity.is_multiplexed() && matches!(self.activity.phase(), Phase::Idle | Phase::Header)
    }

    /// Reads until the client has closed its side: data that arrives at a closed socket resets the connection, and the
    /// client may lose the answer with it.
    fn poll_linger(&mut self, cx: &mut Context<'_>, mut lingered: usize) -> Poll<()> {
        let mut chunk = [MaybeUninit::uninit(); LINGER_CHUNK_BYTES];
        while lingered < LINGER_BYTES_MAX {
            let mut buffer = ReadBuf::uninit(&mut chunk);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => lingered += buffer.filled().len(),
                _ => break,
            }
            self.lingered = Some(lingered);
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.has_remaining() {
            let taken = this.unread.split_to(this.unread.len().min(buffer.remaining()));
            buffer.put_slice(&taken);
            if this.unread.is_empty() {
                this.unread = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        this.drained = read.is_pending();
        if let (Poll::Ready(Ok(())), came @ 1..) = (&read, buffer.filled().len() - before) {
            this.activity.received(came);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.refuses() {
            return this.poll_refuse(cx, bytes).map_ok(|()| bytes.len());
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            this.activity.sent();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let lingered = match this.lingered {
            Some(lingered) => lingered,
            None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                this.activity.linger();
                *this.lingered.insert(0)
            }
        };
        if this.activity.is_multiplexed() {
            return Poll::Ready(Ok(()));
        }
        this.poll_linger(cx, lingered).map(Ok)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let all = slices.iter().map(|slice| slice.len()).sum();
        if this.refuses() {
            let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            return this.poll_refuse(cx, first).map_ok(|()| all);
        }
        if all <= JOINED_BYTES_MAX {
            let mut joined = [0; JOINED_BYTES_MAX];
            let mut room = joined.as_mut_slice();
            slices.iter().for_each(|slice| room.put_slice(slice));
            return Pin::new(&mut this.stream).poll_write(cx, joined.get(..all).unwrap_or_default());
        }
        Pin::new(&mut this.stream).poll_write_vectored(cx, slices)
    }
}
