//! A connection that can be cut: it stands between a worker and its main, in this process.
//!
//! A silent cut is the worst there is: bytes wait, and arrive when nobody reckons with them any more.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Where something listens, as long as it does.
#[derive(Debug, Clone, Default)]
pub struct Door(Arc<Mutex<Option<SocketAddr>>>);

impl Door {
    /// The address, if anybody listens there.
    pub fn address(&self) -> Option<SocketAddr> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says who listens now.
    pub fn set(&self, address: Option<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// They arrive.
    Open,
    /// They wait, on their way to the main, on their way from it, or both.
    Silent {
        /// To the main.
        up: bool,
        /// From the main.
        down: bool,
    },
    /// Connections break, and no new one is made.
    Broken,
}

#[derive(Debug)]
struct State {
    line: Line,
    ended: bool,
    streams: Vec<TcpStream>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    to: Door,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes bytes on until one side ends.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, is_up: bool) {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            let mut state = self.state();
            while !state.ended && matches!(state.line, Line::Silent { up, down } if if is_up { up } else { down }) {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            if to.write_all(bytes.get(..read).unwrap_or_default()).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    /// Takes a connection in and makes its other half, unless the line is broken or nobody listens there.
    fn join(self: &Arc<Self>, near: TcpStream) -> std::io::Result<()> {
        let Some(to) = self.to.address() else { return Ok(()) };
        let far = TcpStream::connect(to)?;
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let pairs = [(near.try_clone()?, far.try_clone()?, true), (far.try_clone()?, near.try_clone()?, false)];
        let mut state = self.state();
        if state.line == Line::Broken || state.ended {
            return Ok(());
        }
        state.streams.extend([near, far]);
        drop(state);
        for (from, to, is_up) in pairs {
            let this = self.clone();
            thread::spawn(move || this.pump(from, to, is_up));
        }
        Ok(())
    }
}

/// A port of this machine that leads to another one.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Proxy {
    /// A new port that leads to whoever listens there.
    pub fn to(door: &Door) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a port");
        let state = Mutex::new(State { line: Line::Open, ended: false, streams: Vec::new() });
        let shared = Arc::new(Shared { state, changed: Condvar::new(), to: door.clone() });
        let taking = shared.clone();
        thread::spawn(move || {
            for near in listener.incoming() {
                if taking.state().ended {
                    return;
                }
                // Whoever cannot be connected finds that its connection is closed.
                let _ = near.and_then(|near| taking.join(near));
            }
        });
        Self { shared, address }
    }

    /// The port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the line or mends it.
    pub fn set(&self, line: Line) {
        let mut state = self.shared.state();
        state.line = line;
        if line == Line::Broken {
            end(&mut state);
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

fn end(state: &mut State) {
    for stream in state.streams.drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.ended = true;
        end(&mut state);
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the thread that takes connections in.
        let _ = TcpStream::connect(self.address);
    }
}
