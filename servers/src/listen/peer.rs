//! The certificate that the other end of a connection may show: a worker's, of the cluster's authority.
//!
//! A handshake refuses a certificate of another authority, one that is not for clients, and one that is out of date. A
//! connection may outlive its certificate, so whoever relies on one later asks again whether it counts.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use delta_core::auth::unauthorized;
use delta_core::{Error, Result};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// Whose certificates count.
#[derive(Debug, Clone)]
pub(crate) struct Authority(Arc<dyn ClientCertVerifier>);

impl Authority {
    /// Reads the certificates of the authority, PEM.
    pub(crate) fn load(file: &Path) -> anyhow::Result<Self> {
        let place = file.display();
        let text =
            fs::read(file).with_context(|| format!("cannot read --cluster-ca {place}; check its path and mode"))?;
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| anyhow!("{place} is not PEM; --cluster-ca takes the certificate of an authority as PEM"))?;
        if certificates.is_empty() {
            bail!("there is no certificate in {place}; --cluster-ca takes the certificate of an authority as PEM");
        }
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate).with_context(|| format!("{place} holds what is no certificate of an authority"))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        // Clients come in by the same port, and have none.
        let verifier = verifier.allow_unauthenticated().build();
        Ok(Self(verifier.with_context(|| format!("{place} cannot be used as --cluster-ca"))?))
    }

    /// What asks for certificates during a handshake, and looks at them.
    pub(crate) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.0.clone()
    }

    /// The certificate of a peer, which the handshake let in.
    pub(crate) fn peer(&self, chain: &[CertificateDer<'_>]) -> PeerCertificate {
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        PeerCertificate { authority: self.clone(), chain }
    }
}

/// A certificate that the other end of a connection has shown, and the key to it.
#[derive(Clone)]
pub(crate) struct PeerCertificate {
    authority: Authority,
    /// Its own first.
    chain: Arc<[CertificateDer<'static>]>,
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerCertificate({:?})", self.names())
    }
}

impl PeerCertificate {
    /// `Unauthorized` once it does not count any more: it may have ended while the connection lasted.
    pub(crate) fn check(&self) -> Result<()> {
        self.check_at(UnixTime::now())
    }

    fn check_at(&self, now: UnixTime) -> Result<()> {
        let refused = |why: String| unauthorized(&format!("the certificate does not count ({why}); show another one"));
        let (own, others) = self.chain.split_first().ok_or_else(|| refused("there is none".into()))?;
        let verified = self.authority.0.verify_client_cert(own, others, now);
        verified.map(drop).map_err(|error| refused(error.to_string()))
    }

    /// Whether one of its names (SAN, dNSName) is this one, to the letter.
    pub(crate) fn is_for(&self, name: &str) -> bool {
        self.names().iter().any(|own| own == name)
    }

    /// The names that it is for.
    pub(crate) fn names(&self) -> Vec<String> {
        let Some(own) = self.chain.first() else { return Vec::new() };
        let Ok((_, certificate)) = parse_x509_certificate(own) else { return Vec::new() };
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
        let dns = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        };
        names.value.general_names.iter().filter_map(dns).collect()
    }
}

/// A certificate of somebody else's name.
pub(crate) fn other_name(certificate: &PeerCertificate, asked: &str) -> Error {
    let names = certificate.names().join(", ");
    let message =
        format!("the certificate is for {names} and not for {asked}; give that --worker-id or another certificate");
    Error::new(delta_core::ErrorKind::Forbidden, message).with_code("other_worker_id")
}
