//! TLS settings as in libpq: `sslmode`, `sslrootcert`, `sslcert` and `sslkey`.
//!
//! | mode | encrypts | checks |
//! |---|---|---|
//! | `disable` | no | nothing |
//! | `allow`, `prefer` | if the server can | nothing |
//! | `require` | always | nothing; with a root certificate, as `verify-ca` |
//! | `verify-ca` | always | that a trusted authority issued the certificate |
//! | `verify-full` | always | that, and that it is for this host |
//!
//! Source: PostgreSQL documentation, "SSL Support" of libpq. Unlike libpq, without `sslrootcert` the
//! operating system's authorities are trusted, as with `sslrootcert=system`.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use crate::error::ConnectError;

/// The value of `sslrootcert` for the operating system's authorities.
const SYSTEM: &str = "system";

/// The TLS settings; each may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// `sslmode`
    pub mode: Option<String>,
    /// `sslrootcert`: a file of PEM certificates, or `system`.
    pub root_cert: Option<String>,
    /// `sslcert`: a file with the client's certificate and its intermediate certificates.
    pub cert: Option<String>,
    /// `sslkey`: a file with the client's private key.
    pub key: Option<String>,
}

impl TlsSettings {
    /// The driver's mode and its TLS connector.
    ///
    /// # Errors
    /// If the mode is unknown, or a file cannot be used.
    pub(crate) fn connector(&self) -> Result<(SslMode, MakeRustlsConnect), ConnectError> {
        let (mode, checks) = self.mode()?;
        let provider = Arc::new(ring::default_provider());
        let authority = match checks {
            Checks::Nothing => None,
            Checks::Authority | Checks::AuthorityAndName => {
                Some(Authority::read(self.root_cert.as_deref(), &provider)?)
            }
        };
        let check_name = checks == Checks::AuthorityAndName;
        let verifier = Verifier { provider: Arc::clone(&provider), authority, check_name };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| problem("TLS cannot be used here", &error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match (&self.cert, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates("sslcert", cert)?, private_key(key)?)
                .map_err(|error| problem("sslcert and sslkey do not fit each other", &error))?,
            (Some(_), None) => return Err(missing("sslcert needs sslkey, the file with its key")),
            (None, Some(_)) => {
                return Err(missing("sslkey needs sslcert, the file with its certificate"));
            }
        };
        // PostgreSQL resumes no TLS session. The cache for them would take memory for each target.
        config.resumption = Resumption::disabled();
        Ok((mode, MakeRustlsConnect::new(config)))
    }

    /// Whether the certificate's host name is verified.
    pub(crate) fn verifies(&self) -> bool {
        self.mode().is_ok_and(|(_, checks)| checks == Checks::AuthorityAndName)
    }

    fn mode(&self) -> Result<(SslMode, Checks), ConnectError> {
        Ok(match self.mode.as_deref() {
            None | Some("prefer" | "allow") => (SslMode::Prefer, Checks::Nothing),
            Some("disable") => (SslMode::Disable, Checks::Nothing),
            Some("require") if self.root_cert.is_some() => (SslMode::Require, Checks::Authority),
            Some("require") => (SslMode::Require, Checks::Nothing),
            Some("verify-ca") => (SslMode::Require, Checks::Authority),
            Some("verify-full") => (SslMode::Require, Checks::AuthorityAndName),
            Some(_) => {
                return Err(missing(
                    "sslmode must be disable, allow, prefer, require, verify-ca or verify-full",
                ));
            }
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Checks {
    Nothing,
    Authority,
    AuthorityAndName,
}

fn missing(what: &str) -> ConnectError {
    ConnectError::Tls(what.to_owned())
}

fn problem(what: &str, error: &dyn fmt::Display) -> ConnectError {
    ConnectError::Tls(format!("{what}: {error}"))
}

fn certificates(key: &str, file: &str) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let cannot = |error| problem(&format!("{key}={file} cannot be read"), &error);
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
        .map_err(cannot)?
        .collect::<Result<_, _>>()
        .map_err(cannot)?;
    if found.is_empty() {
        return Err(missing(&format!("{key}={file} holds no PEM certificate")));
    }
    Ok(found)
}

fn private_key(file: &str) -> Result<PrivateKeyDer<'static>, ConnectError> {
    PrivateKeyDer::from_pem_file(file)
        .map_err(|error| problem(&format!("sslkey={file} cannot be read"), &error))
}

/// The certificate authorities that are trusted.
#[derive(Debug)]
struct Authority {
    roots: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Authority {
    fn read(root_cert: Option<&str>, provider: &Arc<CryptoProvider>) -> Result<Self, ConnectError> {
        let roots = match root_cert {
            None | Some(SYSTEM) => rustls_native_certs::load_native_certs().certs,
            Some(file) => certificates("sslrootcert", file)?,
        };
        let mut store = RootCertStore::empty();
        let (usable, _) = store.add_parsable_certificates(roots.iter().cloned());
        if usable == 0 {
            return Err(missing(
                "no certificate of an authority is known here: name a file by sslrootcert, or \
                 install the system's (ca-certificates)",
            ));
        }
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
        let verifier = builder
            .build()
            .map_err(|error| problem("the certificates of sslrootcert cannot be used", &error))?;
        Ok(Self { roots, verifier })
    }
}

/// Verifies as much of a server's certificate as the mode requires.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    authority: Option<Authority>,
    check_name: bool,
}

impl Verifier {
    /// Verifies that the server has the private key of a certificate that is not checked itself. rustls
    /// parses certificates more strictly than libpq and would refuse X.509 version 1.
    fn verify_key(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // An unreadable certificate proves nothing, but this mode requires no proof.
        let Ok(cert) = Certificate::from_der(cert) else {
            return Ok(HandshakeSignatureValid::assertion());
        };
        let key = cert.tbs_certificate.subject_public_key_info;
        let algorithm =
            key.algorithm.to_der().map_err(|error| Error::General(error.to_string()))?;
        // Skip the tag and the length, which is below 128 bytes and so takes one byte.
        let algorithm = algorithm.get(2..).unwrap_or_default();
        let known = self.provider.signature_verification_algorithms.mapping;
        let is_valid = known
            .iter()
            .filter(|(scheme, _)| *scheme == signature.scheme)
            .flat_map(|(_, algorithms)| algorithms.iter())
            .filter(|known| known.public_key_alg_id().as_ref() == algorithm)
            .any(|known| {
                let key = key.subject_public_key.raw_bytes();
                known.verify_signature(key, message, signature.signature()).is_ok()
            });
        if is_valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::BadSignature))
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(Authority { roots, verifier }) = &self.authority else {
            return Ok(ServerCertVerified::assertion());
        };
        // PostgreSQL's documentation uses the server's own certificate as root. webpki refuses it,
        // because it is an authority's. If both certificates are identical, that is proof enough.
        if roots.iter().any(|root| root == end_entity) {
            if self.check_name {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let verified =
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.check_name => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.authority.is_none() {
            return self.verify_key(message, cert, signature);
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.authority.is_none() {
            return self.verify_key(message, cert, signature);
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
