//! What a worker trusts and what it shows over TLS: files, which are read for each connection, so that new ones count.

use std::error::Error as StdError;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use zeroize::Zeroizing;

use crate::config::Config;

/// How an alert of the other end shows in an error's text; layers in between keep nothing but that.
const ALERT: &str = "received fatal alert: ";
/// How a certificate of the other end shows that is not trusted.
const NOT_TRUSTED: &str = "invalid peer certificate: ";

/// The authority that a main's certificate must be of, and the worker's own certificate and key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Papers {
    ca: Option<PathBuf>,
    own: Option<(PathBuf, PathBuf)>,
}

impl Papers {
    /// What the configuration names.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let own = match (&config.cluster_cert, &config.cluster_key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            _ => bail!("--cluster-cert and --cluster-key go together; give both"),
        };
        Ok(Self { ca: config.cluster_ca.clone(), own })
    }

    /// Whether there is an authority to trust.
    pub(crate) fn trust_somebody(&self) -> bool {
        self.ca.is_some()
    }

    /// Whether there is a certificate to show.
    pub(crate) fn show_certificate(&self) -> bool {
        self.own.is_some()
    }

    /// How a connection is made with them.
    pub(crate) fn tls(&self) -> Result<ClientTlsConfig> {
        let mut tls = ClientTlsConfig::new();
        if let Some(file) = &self.ca {
            let text = read(file, "--cluster-ca")?;
            certificate(&text, file, "--cluster-ca")?;
            tls = tls.ca_certificate(Certificate::from_pem(text.as_slice()));
        }
        if let Some((cert, key)) = &self.own {
            let (chain, private) = (read(cert, "--cluster-cert")?, read(key, "--cluster-key")?);
            certificate(&chain, cert, "--cluster-cert")?;
            if PrivateKeyDer::from_pem_slice(&private).is_err() {
                bail!("there is no private key in {}; --cluster-key takes an unencrypted one as PEM", key.display());
            }
            tls = tls.identity(Identity::from_pem(chain.as_slice(), private.as_slice()));
        }
        Ok(tls)
    }
}

fn read(file: &Path, flag: &str) -> Result<Zeroizing<Vec<u8>>> {
    let text =
        fs::read(file).with_context(|| format!("cannot read {flag} {}; check its path and mode", file.display()))?;
    Ok(Zeroizing::new(text))
}

fn certificate(text: &[u8], file: &Path, flag: &str) -> Result<()> {
    if CertificateDer::from_pem_slice(text).is_err() {
        bail!("there is no certificate in {}; {flag} takes one as PEM", file.display());
    }
    Ok(())
}

/// What went wrong with certificates, if that is why a connection or a call on it failed.
pub(crate) fn refusal(error: &(dyn StdError + 'static)) -> Option<String> {
    let all = std::iter::successors(Some(error), |&error| error.source());
    all.map(ToString::to_string).find_map(|text| {
        let after = |mark: &str| text.split_once(mark).map(|(_, what)| what.to_owned());
        match (after(ALERT), after(NOT_TRUSTED)) {
            (Some(what), _) => {
                // Some layers write the one below in brackets and quotes.
                let alert = what.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
                Some(format!("it refused this worker's certificate ({alert}); check --cluster-cert"))
            }
            (_, Some(what)) => Some(format!("its certificate is not trusted ({what}); check --cluster-ca")),
            _ => None,
        }
    })
}
