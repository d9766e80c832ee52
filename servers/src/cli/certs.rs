//! `certs`: an authority for development and small clusters, and certificates of it. Nothing but files is touched.
//!
//! The authority's key lies unencrypted beside its certificate: whoever reads it can pass for any server and worker.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use delta_core::name::WriterId;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::print_line;
use crate::roles::store::write_private;

pub(crate) const EXAMPLES: &str = "\
Examples:
  deltadb certs init
  deltadb certs issue --server localhost,127.0.0.1
  deltadb certs issue --worker proc-1";

const INIT_EXAMPLES: &str = "\
Examples:
  deltadb certs init                           certs/ca.pem and certs/ca.key
  deltadb certs init --dir /etc/deltadb/certs --days 365";

const ISSUE_EXAMPLES: &str = "\
Examples:
  deltadb certs issue --server localhost,127.0.0.1            certs/server.pem and certs/server.key
  deltadb certs issue --server db.example --name db --days 90
  deltadb certs issue --worker proc-1                         certs/proc-1.pem and certs/proc-1.key
  deltadb serve --tls-cert certs/server.pem --tls-key certs/server.key
  deltadb me --url https://localhost:8080 --ca-cert certs/ca.pem";

/// What the authority's two files are called.
const AUTHORITY: &str = "ca";
/// How far clocks may be apart: certificates count from so long ago.
const CLOCKS_APART_MAX: Duration = Duration::hours(1);
/// The longest that a certificate lasts, in days.
const DAYS_MAX: u32 = 36_500;

/// What to do with certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum Certs {
    /// Make an authority: its certificate, which others trust, and its key
    #[command(after_help = INIT_EXAMPLES)]
    Init(Init),
    /// Issue a certificate of the authority, for a server or for a worker
    #[command(after_help = ISSUE_EXAMPLES, group = clap::ArgGroup::new("holder").required(true))]
    Issue(Issue),
}

/// Arguments of `certs init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where the files are written
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// How long it lasts
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=DAYS_MAX as i64))]
    days: u32,
}

/// Arguments of `certs issue`.
#[derive(Debug, Args)]
pub(crate) struct Issue {
    /// For a server or a main that is reached by these names and addresses
    #[arg(long, value_name = "NAMES", value_delimiter = ',', group = "holder")]
    server: Vec<String>,
    /// For the worker of this id
    #[arg(long, value_name = "ID", group = "holder")]
    worker: Option<String>,
    /// What the two files are called [default: server, or the worker's id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where the authority's files are, and these are written
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// How long it lasts
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=DAYS_MAX as i64))]
    days: u32,
}

impl Certs {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Init(init) => init.run(),
            Self::Issue(issue) => issue.run(),
        }
    }
}

impl Init {
    fn run(self) -> Result<()> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.with_context(|| format!("cannot make the directory {}; choose another --dir", self.dir.display()))?;
        let pair = Pair::free(&self.dir, AUTHORITY)?;
        let key = KeyPair::generate().context("cannot make a key")?;
        let mut mark = [0; 4];
        delta_core::keys::fill_random(&mut mark)?;
        // Two authorities are told apart by their names.
        let name = format!("DeltaDatabase development CA {}", data_encoding::HEXLOWER.encode(&mark));
        let mut params = params(&name, Vec::new(), self.days);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).context("cannot make the certificate")?;
        pair.write(&certificate.pem(), &key)?;
        print_line(&format!("authority:  {}  (trust this one: --ca-cert)", pair.cert.display()));
        print_line(&format!("its key:    {}  (keep it: whoever has it can pass for any server)", pair.key.display()));
        Ok(())
    }
}

impl Issue {
    fn run(self) -> Result<()> {
        let (common_name, names, purpose, name) = match &self.worker {
            Some(worker) => {
                let worker: WriterId = worker.parse().map_err(|error| anyhow!("--worker: {error}"))?;
                let san = SanType::DnsName(ascii(&worker.to_string())?);
                ("DeltaDatabase worker", vec![san], ExtendedKeyUsagePurpose::ClientAuth, worker.to_string())
            }
            None => {
                let names = self.server.iter().map(|name| server_name(name)).collect::<Result<_>>()?;
                ("DeltaDatabase server", names, ExtendedKeyUsagePurpose::ServerAuth, "server".to_owned())
            }
        };
        let name = self.name.unwrap_or(name);
        if name.is_empty() || name.starts_with('.') || name.contains('/') {
            bail!("--name: {name:?} cannot be the name of a file; write one like server");
        }
        let issuer = issuer(&self.dir)?;
        let pair = Pair::free(&self.dir, &name)?;
        let key = KeyPair::generate().context("cannot make a key")?;
        let mut params = params(common_name, names, self.days);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer).context("cannot issue the certificate")?;
        pair.write(&certificate.pem(), &key)?;
        print_line(&format!("certificate:  {}", pair.cert.display()));
        print_line(&format!("its key:      {}", pair.key.display()));
        Ok(())
    }
}

/// A certificate and its key, in two files that are not there yet.
struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn named(directory: &Path, name: &str) -> Self {
        Self { cert: directory.join(format!("{name}.pem")), key: directory.join(format!("{name}.key")) }
    }

    fn free(directory: &Path, name: &str) -> Result<Self> {
        let pair = Self::named(directory, name);
        if let Some(taken) = [&pair.cert, &pair.key].into_iter().find(|file| fs::symlink_metadata(file).is_ok()) {
            bail!("{} is there already, and is left alone; choose another name or directory", taken.display());
        }
        Ok(pair)
    }

    /// Writes both files, or none.
    fn write(&self, cert: &str, key: &KeyPair) -> Result<()> {
        let text = Zeroizing::new(key.serialize_pem());
        write_private(&self.key, text.trim_end())?;
        write_private(&self.cert, cert.trim_end()).inspect_err(|_| drop(fs::remove_file(&self.key)))
    }
}

/// The authority in a directory.
fn issuer(directory: &Path) -> Result<Issuer<'static, KeyPair>> {
    let files = Pair::named(directory, AUTHORITY);
    let cannot = |file: &Path| format!("cannot read {}; make an authority with `deltadb certs init`", file.display());
    let cert = fs::read_to_string(&files.cert).with_context(|| cannot(&files.cert))?;
    let key = Zeroizing::new(fs::read_to_string(&files.key).with_context(|| cannot(&files.key))?);
    let wrong = || {
        let (cert, key) = (files.cert.display(), files.key.display());
        anyhow!("{cert} and {key} are not an authority's certificate and its key; give another --dir")
    };
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).map_err(|_| wrong())?];
    let private = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| wrong())?;
    CertifiedKey::from_der(chain, private, &default_provider()).map_err(|_| wrong())?;
    let key = KeyPair::from_pem(&key).map_err(|_| wrong())?;
    Issuer::from_ca_cert_pem(&cert, key).map_err(|_| wrong())
}

/// What every certificate says.
fn params(common_name: &str, names: Vec<SanType>, days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = names;
    let now = OffsetDateTime::now_utc();
    params.not_before = now - CLOCKS_APART_MAX;
    params.not_after = now + Duration::days(days.into());
    params
}

/// A name or an address by which a server is reached.
fn server_name(name: &str) -> Result<SanType> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    match DnsName::try_from(name.strip_prefix("*.").unwrap_or(name)) {
        Ok(_) => Ok(SanType::DnsName(ascii(name)?)),
        Err(_) => bail!("--server: {name:?} is neither a name nor an address; write them like localhost,127.0.0.1"),
    }
}

fn ascii(name: &str) -> Result<Ia5String> {
    Ia5String::try_from(name).map_err(|_| anyhow!("{name:?} is not ASCII"))
}
