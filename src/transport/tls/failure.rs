//! A handshake that came to nothing: whose mistake it was, in words that are not the peer's.

use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Its first bytes are no TLS.
    #[error("the peer spoke without TLS to a port with [tls]")]
    Plaintext,
    /// It wants other protocols only.
    #[error("the peer offered other protocols than h2 in TLS (ALPN)")]
    Protocol,
    /// It has nothing in common with what is served.
    #[error("the peer offered no version, cipher or signature of TLS that the port has")]
    Incompatible,
    /// It shows no certificate where one is demanded.
    #[error("the peer showed no client certificate to a port with tls.client_ca")]
    NoCertificate,
    /// It shows one that is not accepted.
    #[error("the peer showed a client certificate that is {0}")]
    Certificate(&'static str),
    /// It ends the handshake, and says why.
    #[error("the peer refused the handshake with the alert {0}")]
    Refused(&'static str),
    /// It is gone.
    #[error("the peer left during the TLS handshake")]
    Left,
    /// What the peer said is no proper TLS.
    #[error("the peer broke the rules of TLS")]
    Broken,
    /// The stream failed, or the gateway's own side of it.
    #[error("the TLS handshake failed: {0}")]
    Other(io::Error),
}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match tls {
            Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => Self::Plaintext,
            Some(Error::NoApplicationProtocol) => Self::Protocol,
            Some(Error::PeerIncompatible(_)) => Self::Incompatible,
            Some(Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(Error::InvalidCertificate(why)) => Self::Certificate(fault(why)),
            Some(Error::AlertReceived(alert)) => Self::Refused(name(*alert)),
            Some(Error::General(_) | Error::Other(_)) => Self::Other(error),
            Some(_) => Self::Broken,
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Left,
            None => Self::Other(error),
        }
    }
}

/// Says what is wrong with a client's certificate.
fn fault(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "not valid yet"
        }
        // The latter is of one that bears the name of another.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "signed by no authority in tls.client_ca"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "not for clients"
        }
        _ => "not sound",
    }
}

/// Names the alerts by which clients say what they dislike about the gateway's certificate, as TLS does.
fn name(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::BadCertificate => "bad_certificate",
        AlertDescription::UnsupportedCertificate => "unsupported_certificate",
        AlertDescription::CertificateRevoked => "certificate_revoked",
        AlertDescription::CertificateExpired => "certificate_expired",
        AlertDescription::CertificateUnknown => "certificate_unknown",
        AlertDescription::UnknownCA => "unknown_ca",
        AlertDescription::DecryptError => "decrypt_error",
        AlertDescription::UnrecognisedName => "unrecognized_name",
        AlertDescription::ProtocolVersion => "protocol_version",
        AlertDescription::HandshakeFailure => "handshake_failure",
        AlertDescription::NoApplicationProtocol => "no_application_protocol",
        AlertDescription::InternalError => "internal_error",
        AlertDescription::UserCanceled => "user_canceled",
        AlertDescription::CloseNotify => "close_notify",
        _ => "of another kind",
    }
}
