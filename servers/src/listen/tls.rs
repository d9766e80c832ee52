//! TLS 1.2 and 1.3: a certificate and its key from two files, read again when they change.
//!
//! Connections keep what they began with; new ones get the new pair. A pair that cannot be used changes nothing.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::listen::peer::Authority;

/// How often the files are looked at; a change is taken once it has been there for two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The largest file that is read as a certificate or a key.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The certificate and the key that new connections get.
#[derive(Debug)]
pub(crate) struct Tls {
    files: Files,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
    /// What the files were when they were last read.
    seen: Mutex<Stamp>,
}

#[derive(Debug, Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What tells one version of the two files from another: each one's place on the disk, length and time.
type Stamp = [Option<(u64, u64, i64, i64)>; 2];

impl Tls {
    /// Reads both files.
    pub(crate) fn load(cert: PathBuf, key: PathBuf) -> Result<Arc<Self>> {
        let (files, provider) = (Files { cert, key }, Arc::new(aws_lc_rs::default_provider()));
        let seen = Mutex::new(files.stamp());
        let current = ArcSwap::from_pointee(files.read(&provider)?);
        warn_if_others_may_use(&files.key);
        Ok(Arc::new(Self { files, provider, current, seen }))
    }

    /// An acceptor of connections that speak this protocol (its name of RFC 7301), whose other ends may show a certificate
    /// of an authority.
    pub(crate) fn acceptor(self: &Arc<Self>, protocol: &[u8], peers: Option<&Authority>) -> Result<TlsAcceptor> {
        let config =
            ServerConfig::builder_with_provider(self.provider.clone()).with_safe_default_protocol_versions()?;
        let verifier = peers.map_or_else(WebPkiClientVerifier::no_client_auth, Authority::verifier);
        let config = config.with_client_cert_verifier(verifier);
        let mut config = config.with_cert_resolver(Arc::new(Resolver(self.clone())));
        if peers.is_some() {
            // A session that is taken up again would bring its certificate along, whatever has become of that.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again when they change, and on SIGHUP, as long as there are doors.
    pub(crate) fn watch(self: &Arc<Self>) -> Result<()> {
        let hangup = signal(SignalKind::hangup()).context("cannot listen to SIGHUP")?;
        tokio::spawn(watch(Arc::downgrade(self), hangup));
        Ok(())
    }

    fn reload(&self, why: &str) {
        let stamp = self.files.stamp();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
        let cert = self.files.cert.display();
        match self.files.read(&self.provider) {
            Ok(pair) => {
                self.current.store(Arc::new(pair));
                tracing::info!(%cert, "{why}: new connections get this certificate");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(%error, "{why}: the certificate in use stays; put the files right, they are looked at again");
            }
        }
        warn_if_others_may_use(&self.files.key);
    }
}

async fn watch(tls: Weak<Tls>, mut hangup: Signal) {
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    let mut before = None;
    loop {
        let asked = tokio::select! {
            _ = interval.tick() => false,
            asked = hangup.recv() => asked.is_some(),
        };
        let Some(tls) = tls.upgrade() else { return };
        let stamp = tls.files.stamp();
        let changed = stamp != *tls.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Two files cannot be replaced at once: a change counts when nothing changes any more.
        let settled = before.replace(stamp) == Some(stamp);
        let why = match (asked, changed && settled) {
            (true, _) => "SIGHUP",
            (false, true) => "the TLS files have changed",
            (false, false) => continue,
        };
        // Files may lie on a slow disk.
        drop(tokio::task::spawn_blocking(move || tls.reload(why)).await);
    }
}

impl Files {
    fn stamp(&self) -> Stamp {
        let stamp = |file: &Path| {
            let metadata = fs::metadata(file).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
        };
        [stamp(&self.cert), stamp(&self.key)]
    }

    /// The pair; an error says which file is wrong, and what it should be.
    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey> {
        let (cert, key) = (self.cert.display(), self.key.display());
        let text = read(&self.cert, "certificate", "--tls-cert")?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| anyhow!("{cert} is not PEM; --tls-cert takes the certificate and its chain as PEM"))?;
        if chain.is_empty() {
            bail!("there is no certificate in {cert}; --tls-cert takes the certificate and its chain as PEM");
        }
        let text = read(&self.key, "private key", "--tls-key")?;
        let private = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            pem::Error::NoItemsFound => {
                anyhow!("there is no private key in {key}; --tls-key takes an unencrypted one as PEM")
            }
            _ => anyhow!("{key} is not PEM; --tls-key takes an unencrypted private key as PEM"),
        })?;
        CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                anyhow!(
                    "the key in {key} is not that of the first certificate in {cert}; give the two that belong together"
                )
            }
            error => anyhow!("the certificate in {cert} and the key in {key} cannot be used: {error}"),
        })
    }
}

fn read(file: &Path, what: &str, flag: &str) -> Result<Zeroizing<Vec<u8>>> {
    let wrong = || format!("cannot read the TLS {what} {}; check {flag}", file.display());
    let mut text = Zeroizing::new(Vec::new());
    File::open(file).and_then(|opened| opened.take(FILE_BYTES_MAX).read_to_end(&mut text)).with_context(wrong)?;
    Ok(text)
}

fn warn_if_others_may_use(key: &Path) {
    let mode = fs::metadata(key).map_or(0, |metadata| metadata.mode() & 0o777);
    if mode & 0o077 != 0 {
        let key = key.display();
        tracing::warn!("others may use the TLS key {key} (its mode is {mode:03o}); run `chmod 600 {key}`");
    }
}

/// Gives each handshake what is current.
#[derive(Debug)]
struct Resolver(Arc<Tls>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current.load_full())
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsConnector;

    use super::*;

    /// What a client and an acceptor of `h2` agree on if the client offers these protocols.
    async fn agreed(offered: &[&[u8]]) -> std::io::Result<Option<Vec<u8>>> {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let tls = Tls::load(cert, key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(tls.provider.clone());
        let config = config.with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tls.acceptor(b"h2", None).unwrap();
        let accepted = tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await });
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let connected = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
        drop(accepted.await.unwrap()?);
        Ok(connected.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
    }

    #[tokio::test]
    async fn a_door_speaks_its_own_protocol_only() {
        assert_eq!(agreed(&[b"http/1.1", b"h2"]).await.unwrap().as_deref(), Some(&b"h2"[..]));
        assert_eq!(agreed(&[]).await.unwrap(), None);
        assert!(agreed(&[b"http/1.1"]).await.is_err());
    }
}
